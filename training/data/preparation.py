"""What is done to an image once, before it is kept."""

import tensorflow as tf


def prepare(image, config):
  """Converts, crops, resizes and pads one image.

  Args:
    image: uint8 `[H, W, C]`, of any size; 1 or 3 channels.
    config: The fields of `get_config`.

  Returns:
    image: uint8 `[H, W, C]`. Where `crop` is `'random'` it is larger than
      `image_size`, which is cut out of it at each step.
  """
  image = _with_channels(image, config.channels)
  if config.crop == 'random':
    if config.shorter_side is not None:
      shape = tf.shape(image)[:2]
      scale = config.shorter_side / tf.reduce_min(shape)
      size = tf.cast(tf.round(tf.cast(shape, scale.dtype) * scale), tf.int32)
      image = _resize(image, size, config.antialias)
  else:
    if config.crop is not None:
      image = _cut(image, config.crop)
    if config.image_size is not None:
      size = pair(config.image_size)
      image = _resize(_with_aspect(image, size), size, config.antialias)
  margins = [config.pad, config.pad]
  return tf.pad(image, [margins, margins, [0, 0]])


def pair(size):
  """Height and width of a size that may be one number."""
  return (size, size) if isinstance(size, int) else tuple(size)


def _with_channels(image, channels):
  is_grey = tf.equal(tf.shape(image)[-1], 1)
  if channels == 1:
    return tf.cond(is_grey, lambda: image,
                   lambda: tf.image.rgb_to_grayscale(image))
  if channels == 3:
    return tf.cond(is_grey, lambda: tf.repeat(image, 3, axis=-1),
                   lambda: image)
  return image


def _cut(image, crop):
  """Cuts a box out, or a window out of the centre."""
  if isinstance(crop, int) or len(crop) == 2:
    height, width = pair(crop)
    top = (tf.shape(image)[0] - height) // 2
    left = (tf.shape(image)[1] - width) // 2
  else:
    top, left, height, width = crop
  return image[top:top + height, left:left + width]


def _with_aspect(image, size):
  """The largest central part with the aspect of `size`."""
  height, width = tf.unstack(tf.shape(image)[:2])
  kept = (tf.minimum(height, width * size[0] // size[1]),
          tf.minimum(width, height * size[1] // size[0]))
  return _cut(image, kept)


def _resize(image, size, antialias):
  resized = tf.image.resize(image, size, antialias=antialias)
  return tf.cast(tf.clip_by_value(tf.round(resized), 0., 255.), tf.uint8)
