"""What a model is told of an image beside it: a map made of it, or its own."""

import dataclasses

import tensorflow as tf

_OWN = 'image_folder'
_COLUMN = 'feature_map'
_FORMS = ("'downsample:4', 'grey', 'mask:16', 'feature_map' (of npz), "
          "'image_folder:PATH' (of image_folder) or None")


@dataclasses.dataclass(frozen=True)
class Condition:
  """The field `condition`, taken apart.

  Attributes:
    kind: Python `str`: `'downsample'`, `'grey'`, `'mask'`, `'feature_map'` or
      `'image_folder'`.
    size: Python `int`: the factor of `'downsample'`, the side of `'mask'`.
    path: Python `str`, the folder of `'image_folder'`.
  """

  kind: str
  size: int = 0
  path: str = ''

  @property
  def is_own(self):
    """Whether maps are stored beside the images, and not made of them."""
    return self.kind in (_OWN, _COLUMN)

  @property
  def source(self):
    """Python `str`, the kind of source that maps of one's own go with."""
    return 'npz' if self.kind == _COLUMN else self.kind

  def num_channels(self, image_shape, map_channels=0):
    """How many channels a map has.

    Args:
      image_shape: `(H, W, C)`.
      map_channels: Python `int`, of maps of one's own. Default value: `0`.

    Returns:
      channels: Python `int`.

    Raises:
      ValueError: If no such map can be made of such images.
    """
    height, width, channels = image_shape
    shape = f'{height}x{width}x{channels}'
    if self.is_own:
      return map_channels
    if self.kind == 'grey':
      if channels != 3:
        raise ValueError(
            f"`condition` is 'grey', which needs images of 3 channels, but "
            f'these are {shape}.')
      return 1
    if self.kind == 'downsample':
      if height % self.size or width % self.size:
        raise ValueError(
            f"`condition` is 'downsample:{self.size}', which needs sides that "
            f'are multiples of {self.size}, but images are {shape}.')
      return channels
    if self.size > min(height, width):
      raise ValueError(
          f"`condition` is 'mask:{self.size}', but images are {shape}: the "
          'square must fit.')
    return channels + 1

  def maps(self, images, down, right):
    """Makes the maps of images.

    ```none
    downsample:N   means of NxN pixels, spread over them again    [H, W, C]
    grey           0.299 R + 0.587 G + 0.114 B                    [H, W, 1]
    mask:N         the image, grey in an NxN square; and a        [H, W, C + 1]
                   channel, 0.5 in it and -0.5 elsewhere
    ```

    Values are those of images, rounded as theirs, on a scale from -0.5 to 0.5.

    Args:
      images: uint8 or uint16 `[B, H, W, C]`.
      down: `[B]`, in [0, 1), where the square is between top and bottom.
      right: `[B]`, where it is between left and right.

    Returns:
      maps: float32 `[B, H, W, K]`.
    """
    images = tf.convert_to_tensor(images)
    dtype = images.dtype
    if self.kind == 'grey':
      return centered(_luma(images), dtype)
    if self.kind == 'downsample':
      small = tf.nn.avg_pool2d(
          tf.cast(images, tf.float32), self.size, self.size, 'VALID')
      small = centered(tf.round(small), dtype)
      return tf.repeat(tf.repeat(small, self.size, 1), self.size, 2)
    hidden = tf.cast(
        self._squares(tf.shape(images), down, right), tf.float32)
    return tf.concat(
        [centered(images, dtype) * (1. - hidden), hidden - .5], axis=-1)

  def squared_error(self, images, maps):
    """How far images are from what maps of others tell of them.

    Args:
      images: uint8 or uint16 `[B, H, W, C]`.
      maps: float32 `[B, H, W, K]`, as `maps` made them of as many images.

    Returns:
      error: float32 `[B]`, the mean square of the difference between these maps
        and those of `images`, over what is not hidden, on a scale from 0 to 1.
        `None` of maps of one's own, which are made of nothing.
    """
    if self.is_own:
      return None
    images = tf.convert_to_tensor(images)
    if self.kind == 'mask':
      known = tf.cast(maps[..., -1:] < 0., tf.float32)
      maps = maps[..., :-1]
      again = centered(images, images.dtype)
    else:
      known = tf.ones_like(maps[..., :1])
      unused = tf.zeros(tf.shape(images)[:1])
      again = self.maps(images, unused, unused)
    axes = [1, 2, 3]
    return tf.reduce_sum(known * (again - maps)**2, axes) / (
        tf.reduce_sum(known, axes) * maps.shape[-1])

  def _squares(self, shape, down, right):
    """`[B, H, W, 1]`, true in each image's square."""
    def inside(side, place):
      # As far from either edge as the square leaves room for.
      room = tf.cast(side - self.size + 1, place.dtype)
      start = tf.cast(tf.floor(place * room), tf.int32)[:, None]
      position = tf.range(side)
      return (position >= start) & (position < start + self.size)

    rows, columns = inside(shape[1], down), inside(shape[2], right)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def parse(text):
  """Takes the field `condition` apart.

  Args:
    text: Python `str`, or `None`.

  Returns:
    condition: `Condition`, or `None`.

  Raises:
    ValueError: If it is none of what it may be.
  """
  if text is None:
    return None
  kind, colon, rest = text.partition(':')
  if kind in ('grey', _COLUMN) and not colon:
    return Condition(kind)
  if kind in ('downsample', 'mask') and rest.isdigit() and (
      int(rest) >= (2 if kind == 'downsample' else 1)):
    return Condition(kind, size=int(rest))
  if kind == _OWN and rest:
    return Condition(kind, path=rest)
  raise ValueError(f'`condition` is {text!r}; it must be {_FORMS}.')


def centered(values, dtype):
  """Values of a type of images, on a scale from -0.5 to 0.5."""
  return tf.cast(values, tf.float32) / dtype.max - .5


def _luma(images):
  # In integers, so that whoever computes it rounds alike.
  weights = tf.constant([299, 587, 114])
  grey = tf.reduce_sum(tf.cast(images, tf.int32) * weights, -1, keepdims=True)
  return (grey + 500) // 1000
