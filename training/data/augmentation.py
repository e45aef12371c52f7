"""What is done to training images anew at every step."""

import tensorflow as tf

# Numbers that are drawn for each image, and what each is for.
NUM_DRAWN = 8
_TOP, _LEFT, _FLIP, _DOWN, _RIGHT = range(5)


def draw(key, position, count):
  """Uniform numbers in [0, 1) for successive examples of a stream.

  What an example gets depends on the key and its position alone, not on the
  batch that it is in.

  Args:
    key: uint64 `[]`.
    position: int64 `[]`, of the first example.
    count: Python `int` or int32 `[]`, of examples.

  Returns:
    uniform: float32 `[count, NUM_DRAWN]`.
  """
  # One step of Philox's counter gives four numbers.
  counter = tf.stack([position * (NUM_DRAWN // 4), 0])
  uniform = tf.raw_ops.StatelessRandomUniformV2(
      shape=[count * NUM_DRAWN], key=[key], alg=1,
      counter=tf.cast(counter, tf.uint64))
  return tf.reshape(uniform, [count, NUM_DRAWN])


def windows(uniform):
  """The numbers that place a random window: down and to the right."""
  return uniform[:, _TOP], uniform[:, _LEFT]


def check(config):
  """Checks the fields that augmentation reads.

  Args:
    config: The fields of `get_config`.

  Raises:
    ValueError: If `shift` is none of what it may be.
  """
  shifts = _pair(config.shift)
  whole = all(isinstance(shift, int) and shift >= 0 for shift in shifts)
  parts = all(isinstance(shift, float) and 0 <= shift < 1 for shift in shifts)
  if len(shifts) != 2 or not (whole or parts):
    raise ValueError(
        f'`shift` is {config.shift!r}; it must be a whole number of pixels, a '
        'part of each side, between 0. and 1., or a pair of either.')


def augment(images, uniform, config):
  """Flips and shifts images at random.

  Shifts by a part of a side are those of Glow's program [1]: any distance up
  to the largest, interpolated between two pixels, rounded down.

  Args:
    images: uint8 `[B, H, W, C]`.
    uniform: float32 `[B, NUM_DRAWN]`.
    config: The fields of `get_config`.

  Returns:
    images: uint8 `[B, H, W, C]`.

  #### References

  [1]: https://github.com/openai/glow, `data_loaders/get_mnist_cifar.py`, which
       uses Keras 2.2's `ImageDataGenerator`.
  """
  if config.flip:
    flipped = uniform[:, _FLIP] < .5
    images = tf.where(flipped[:, None, None, None], images[:, :, ::-1], images)
  for axis, number, largest in zip(
      (1, 2), (_DOWN, _RIGHT), _pair(config.shift)):
    if largest:
      images = _shift(images, uniform[:, number], largest, axis)
  if images.dtype == tf.uint8:
    return images
  return tf.cast(tf.floor(images), tf.uint8)


def _shift(images, uniform, largest, axis):
  """Shifts along an axis, by a part of it interpolated and float32."""
  if isinstance(largest, int):
    offset = tf.floor(uniform * (2 * largest + 1)) - largest
    return _shifted(images, tf.cast(offset, tf.int32), axis)
  offset = (2. * uniform - 1.) * largest * images.shape[axis]
  lower = tf.cast(tf.floor(offset), tf.int32)
  weight = tf.reshape(offset - tf.floor(offset), [-1, 1, 1, 1])
  images = tf.cast(images, tf.float32)
  return ((1. - weight) * _shifted(images, lower, axis)
          + weight * _shifted(images, lower + 1, axis))


def _pair(shift):
  if shift is None:
    return 0, 0
  return tuple(shift) if isinstance(shift, (tuple, list)) else (shift, shift)


def _shifted(images, offset, axis):
  """Images shifted back along an axis; the edge is repeated."""
  size = images.shape[axis]
  index = tf.clip_by_value(tf.range(size) + offset[:, None], 0, size - 1)
  return tf.gather(images, index, axis=axis, batch_dims=1)
