"""What is done to an image once, before it is kept."""

import tensorflow as tf


def check(config):
  """Checks the fields that preparation and augmentation read.

  Args:
    config: The fields of `get_config`.

  Raises:
    ValueError: If a field is none of what it may be, or fields that belong
      together are not.
  """
  for field, is_right, needed in (
      ('bits', config.bits is None or _is_count(config.bits)
       and 1 <= config.bits <= 16, 'from 1 to 16, or None'),
      ('channels', config.channels in (None, 1, 3), '1, 3 or None'),
      ('crop', config.crop in (None, 'random') or _is_size(config.crop)
       or _is_box(config.crop),
       "a size, a pair of sizes, (top, left, height, width), 'random' or None"),
      ('shorter_side', config.shorter_side is None
       or _is_count(config.shorter_side), 'a number of pixels or None'),
      ('image_size', config.image_size is None or _is_size(config.image_size),
       'a size, a pair of sizes or None'),
      ('pad', _is_count(config.pad), 'a number of pixels'),
  ):
    if not is_right:
      raise ValueError(
          f'`{field}` is {config[field]!r}; it must be {needed}.')
  if config.crop == 'random' and config.image_size is None:
    raise ValueError(
        "`crop` is 'random', which needs `image_size`: what size to cut out.")
  if config.crop != 'random' and config.shorter_side is not None:
    raise ValueError(
        f"`shorter_side` is {config.shorter_side}, which is only for `crop` "
        f"'random', but `crop` is {config.crop!r}.")
  if config.crop == 'random' and config.pad:
    raise ValueError(
        f"`pad` is {config.pad}, but must be 0 where `crop` is 'random'.")


def _is_count(value):
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value):
  values = value if isinstance(value, (tuple, list)) else (value, value)
  return len(values) == 2 and all(
      _is_count(number) and number for number in values)


def _is_box(value):
  return (isinstance(value, (tuple, list)) and len(value) == 4
          and all(_is_count(number) for number in value)
          and all(value[2:]))


def smallest(config):
  """The smallest image that `crop` can be cut from: `(H, W)`, or `None`."""
  if config.crop in (None, 'random'):
    return None
  if _is_box(config.crop):
    top, left, height, width = config.crop
    return top + height, left + width
  return pair(config.crop)


def prepare(image, config, map_channels=0):
  """Converts, crops, resizes and pads one image.

  Args:
    image: uint8 or uint16 `[H, W, C]`, of any size, its channels and those of
      its map after them.
    config: The fields of `get_config`.
    map_channels: Python `int`, channels of the map. Default value: `0`.

  Returns:
    image: `[H, W, C]`, of the same type. Where `crop` is `'random'` it is
      larger than `image_size`, which is cut out of it at each step.
  """
  num_channels = image.shape[-1]
  if map_channels:
    colours = num_channels - map_channels
    image = tf.concat([_with_channels(image[..., :colours], config.channels),
                       image[..., colours:]], axis=-1)
  else:
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
  if channels is None or image.shape[-1] == channels:
    return image
  if image.shape[-1] not in (1, 3, None):
    raise ValueError(
        f'`channels` is {channels}, but images have {image.shape[-1]}: only '
        'those of 1 or 3 can be made grey or RGB. None leaves them as they '
        'are.')
  return tf.cond(
      tf.equal(tf.shape(image)[-1], channels), lambda: image,
      lambda: (tf.image.rgb_to_grayscale if channels == 1
               else tf.image.grayscale_to_rgb)(image))


def _cut(image, crop):
  """Cuts a box out, or a window out of the centre."""
  if _is_box(crop):
    top, left, height, width = crop
    return image[top:top + height, left:left + width]
  return _centre(image, *pair(crop))


def _centre(image, height, width):
  top = tf.maximum(tf.shape(image)[0] - height, 0) // 2
  left = tf.maximum(tf.shape(image)[1] - width, 0) // 2
  return image[top:top + height, left:left + width]


def _with_aspect(image, size):
  """The largest central part with the aspect of `size`."""
  height, width = tf.unstack(tf.shape(image)[:2])
  return _centre(image, tf.minimum(height, width * size[0] // size[1]),
                 tf.minimum(width, height * size[1] // size[0]))


def _resize(image, size, antialias):
  resized = tf.image.resize(image, size, antialias=antialias)
  largest = float(image.dtype.max)
  return tf.cast(tf.clip_by_value(tf.round(resized), 0., largest), image.dtype)
