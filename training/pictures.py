"""Grids of images, as PNG files."""

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

_BACKGROUND = 128
_GAP = 4
_FONT_SIZE = 16


def save_grid(path, rows, labels=None, min_cell=96, column_labels=None,
              channels=None):
  """Writes rows of images to a PNG file.

  Images smaller than `min_cell` are enlarged by a whole factor, each pixel a
  square, so that an image of 8x8 pixels can be seen.

  Args:
    path: Where to write.
    rows: uint8 or uint16 `[R, N, H, W, C]`.
    labels: `R` strings to write left of the rows, `''` for none, or `None`.
      Default value: `None`.
    min_cell: Python `int`, the least width and height of an image, in pixels
      of the picture. Default value: `96`.
    column_labels: `N` strings to write above the columns, or `None`.
      Default value: `None`.
    channels: Which channels are shown: one as grey, or three as RGB. Default
      value: `None`, see `visible`.

  Raises:
    ValueError: If `rows` or the labels are not of that form.
  """
  picture = Image.fromarray(_tile(visible(rows, channels), min_cell))
  for argument, names, kind, count in (
      ('column_labels', column_labels, 'columns', np.shape(rows)[1]),
      ('labels', labels, 'rows', len(rows))):
    if names is not None and len(names) != count:
      raise ValueError(f'`{argument}` must have one string for each of the '
                       f'{count} {kind}, got {len(names)}.')
  # What is above the columns is written first, and rows are named beside it.
  head = 0
  if column_labels is not None:
    picture, head = _with_column_labels(picture, column_labels)
  if labels is not None:
    picture = _with_labels(picture, labels, head)
  picture.save(path)


def visible(images, channels=None):
  """Images as one can see them.

  Args:
    images: uint8 or uint16 `[..., C]`.
    channels: Which channels to take, one or three. Default value: `None`, the
      first three, or the first where there are less.

  Returns:
    images: uint8 `[..., 1]` or `[..., 3]`.

  Raises:
    ValueError: If there are no such channels.
  """
  images = np.asarray(images)
  count = images.shape[-1]
  if channels is None:
    channels = range(3 if count >= 3 else 1)
  if len(channels) not in (1, 3) or not all(
      channel in range(count) for channel in channels):
    raise ValueError(
        f'`picture_channels` is {tuple(channels)}; it must be one or three '
        f'numbers of channels, of 0 to {count - 1}.')
  images = images[..., list(channels)]
  return np.uint8(images >> 8) if images.dtype == np.uint16 else images


def of_feature_map(feature_map, like):
  """Pictures of a condition: its first channels, as images are.

  Args:
    feature_map: float `[N, H, W, K]`, from -0.5 to 0.5.
    like: uint8 or uint16 images `[..., C]`.

  Returns:
    images: `[N, H, W, C]`, of the type of `like`.
  """
  values = np.asarray(feature_map)
  dtype, channels = like.dtype, like.shape[-1]
  shown = values[..., :channels if values.shape[-1] >= channels else 1]
  largest = np.iinfo(getattr(dtype, 'as_numpy_dtype', dtype)).max
  shown = np.round((np.clip(shown, -.5, .5) + .5) * largest)
  return np.broadcast_to(shown, (*shown.shape[:-1], channels)).astype(
      getattr(dtype, 'as_numpy_dtype', dtype))


def _tile(rows, min_cell):
  """One picture `[height, width]` or `[height, width, 3]` of all images."""
  rows = np.asarray(rows)
  if rows.dtype != np.uint8 or rows.ndim != 5 or rows.shape[-1] not in (1, 3):
    raise ValueError('`rows` must be uint8 or uint16 [R, N, H, W, C], '
                     f'got {rows.dtype} {list(rows.shape)}.')
  factor = -(-min_cell // min(rows.shape[2:4]))
  rows = rows.repeat(factor, axis=2).repeat(factor, axis=3)
  before = [(0, 0), (0, 0), (_GAP, 0), (_GAP, 0), (0, 0)]
  rows = np.pad(rows, before, constant_values=_BACKGROUND)
  num_rows, num_columns, height, width, channels = rows.shape
  picture = rows.swapaxes(1, 2).reshape(
      num_rows * height, num_columns * width, channels)
  after = [(0, _GAP), (0, _GAP), (0, 0)]
  picture = np.pad(picture, after, constant_values=_BACKGROUND)
  return picture[..., 0] if channels == 1 else picture


def _with_labels(picture, labels, head):
  """`picture` with a margin on its left, where rows below `head` are named."""
  font = ImageFont.load_default(_FONT_SIZE)
  margin = 2 * _FONT_SIZE + int(max(font.getlength(label) for label in labels))
  size = (margin + picture.width, picture.height)
  labelled = Image.new(picture.mode, size, 'white')
  labelled.paste(picture, (margin, 0))
  draw = ImageDraw.Draw(labelled)
  row_height = (picture.height - head - _GAP) / len(labels)
  for row, label in enumerate(labels):
    middle = (margin / 2, head + _GAP / 2 + (row + 0.5) * row_height)
    draw.text(middle, label, fill='black', font=font, anchor='mm')
  return labelled


def _with_column_labels(picture, labels):
  """`picture` with a margin above, where the columns are named; its height."""
  font = ImageFont.load_default(_FONT_SIZE)
  head = 2 * _FONT_SIZE
  labelled = Image.new(
      picture.mode, (picture.width, head + picture.height), 'white')
  labelled.paste(picture, (0, head))
  draw = ImageDraw.Draw(labelled)
  column_width = (picture.width - _GAP) / len(labels)
  for column, label in enumerate(labels):
    middle = (_GAP / 2 + (column + 0.5) * column_width, head / 2)
    draw.text(middle, label, fill='black', font=font, anchor='mm')
  return labelled, head
