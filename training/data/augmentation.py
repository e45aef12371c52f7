"""What is done to training images anew at every step."""

import math

import tensorflow as tf

# Numbers that are drawn for each image, and what each is for.
NUM_DRAWN = 8
_TOP, _LEFT, _FLIP, _DOWN, _RIGHT, _HIDDEN_DOWN, _HIDDEN_RIGHT = range(7)


def draw(key, position, count, size=NUM_DRAWN, stream=0):
  """Uniform numbers in [0, 1) for successive examples of a stream.

  What an example gets depends on the key and its position alone, not on the
  batch that it is in.

  Args:
    key: uint64 `[]`.
    position: int64 `[]`, of the first example.
    count: Python `int` or int32 `[]`, of examples.
    size: Python `int`, numbers for each, a multiple of 4. Default value:
      `NUM_DRAWN`.
    stream: Python `int`; other streams give other numbers. Default value: `0`.

  Returns:
    uniform: float32 `[count, size]`.
  """
  # One step of Philox's counter gives four numbers.
  counter = tf.stack([position * (size // 4), stream])
  uniform = tf.raw_ops.StatelessRandomUniformV2(
      shape=[count * size], key=[key], alg=1,
      counter=tf.cast(counter, tf.uint64))
  return tf.reshape(uniform, [count, size])


def windows(uniform):
  """The numbers that place a random window: down and to the right."""
  return uniform[:, _TOP], uniform[:, _LEFT]


def hidden(uniform):
  """The numbers that place what is hidden: down and to the right."""
  return uniform[:, _HIDDEN_DOWN], uniform[:, _HIDDEN_RIGHT]


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
  if isinstance(config.mutate, bool) or not 0 <= config.mutate <= 1:
    raise ValueError(
        f'`mutate` is {config.mutate!r}; it must be a share of the values, '
        'from 0. to 1.')


def check_fits(config, image_shape):
  """Checks that something of each image is left where it is shifted.

  Args:
    config: The fields of `get_config`.
    image_shape: `(H, W, C)`.

  Raises:
    ValueError: If it is not.
  """
  for side, largest in zip(image_shape, _pair(config.shift)):
    if largest >= side:
      raise ValueError(
          f'`shift` is {config.shift!r}, but images are '
          f'{"x".join(map(str, image_shape))}: fewer pixels than a side has '
          'are needed.')


def augment(images, uniform, config):
  """Flips and shifts images at random.

  Shifts by a part of a side are those of Glow's program [1]: any distance up
  to the largest, interpolated between two pixels, rounded down.

  Args:
    images: uint8 or uint16 `[B, H, W, C]`.
    uniform: float32 `[B, NUM_DRAWN]`.
    config: The fields of `get_config`.

  Returns:
    images: `[B, H, W, C]`, of the same type.

  #### References

  [1]: https://github.com/openai/glow, `data_loaders/get_mnist_cifar.py`, which
       uses Keras 2.2's `ImageDataGenerator`.
  """
  dtype = images.dtype
  if config.flip:
    flipped = uniform[:, _FLIP] < .5
    images = tf.where(flipped[:, None, None, None], images[:, :, ::-1], images)
  for axis, number, largest in zip(
      (1, 2), (_DOWN, _RIGHT), _pair(config.shift)):
    if largest:
      images = _shift(images, uniform[:, number], largest, axis)
  if images.dtype == dtype:
    return images
  return tf.cast(tf.floor(images), dtype)


def mutate(images, key, position, share):
  """Draws some values of images anew, each of their type as likely as another.

  A model of such images learns what the images have in common, and less of
  what they are: the background of a likelihood ratio ([1]).

  Args:
    images: uint8 or uint16 `[B, H, W, C]`, of successive examples of a stream.
    key: uint64 `[]`.
    position: int64 `[]`, of the first example.
    share: Python `float`, the chance of each value to be drawn anew.

  Returns:
    images: `[B, H, W, C]`, of the same type.

  #### References

  [1]: Ren et al. Likelihood Ratios for Out-of-Distribution Detection. 2019.
       https://arxiv.org/abs/1906.02845
  """
  values = math.prod(images.shape[1:])
  size = 4 * math.ceil(values / 2)
  uniform = draw(key, position, images.shape[0], size, stream=1)
  chance, value = (
      tf.reshape(uniform[:, start:start + values], images.shape)
      for start in (0, values))
  drawn = tf.floor((images.dtype.max + 1.) * value)
  return tf.where(chance < share, tf.cast(drawn, images.dtype), images)


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
