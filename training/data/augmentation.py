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
    key: uint64 `[1]`.
    position: int64 `[]`, of the first example.
    count: Python `int` or int32 `[]`, of examples.

  Returns:
    uniform: float32 `[count, NUM_DRAWN]`.
  """
  # One step of Philox's counter gives four numbers.
  counter = tf.stack([position * (NUM_DRAWN // 4), 0])
  uniform = tf.raw_ops.StatelessRandomUniformV2(
      shape=[count * NUM_DRAWN], key=key, alg=1,
      counter=tf.cast(counter, tf.uint64))
  return tf.reshape(uniform, [count, NUM_DRAWN])


def windows(uniform):
  """The numbers that place a random window: down and to the right."""
  return uniform[:, _TOP], uniform[:, _LEFT]


def augment(images, uniform, config):
  """Flips and shifts images at random.

  Args:
    images: uint8 `[B, H, W, C]`.
    uniform: float32 `[B, NUM_DRAWN]`.
    config: The fields of `get_config`.

  Returns:
    images: uint8 `[B, H, W, C]`.
  """
  if config.flip:
    flipped = uniform[:, _FLIP] < .5
    images = tf.where(flipped[:, None, None, None], images[:, :, ::-1], images)
  if config.shift:
    for axis, number in ((1, _DOWN), (2, _RIGHT)):
      images = _shift(images, (2. * uniform[:, number] - 1.) * config.shift,
                      axis)
  return images


def _shift(images, part, axis):
  """Shifts along an axis; the edge is repeated."""
  size = images.shape[axis]
  offset = tf.cast(tf.round(part * size), tf.int32)
  index = tf.clip_by_value(tf.range(size) + offset[:, None], 0, size - 1)
  return tf.gather(images, index, axis=axis, batch_dims=1)
