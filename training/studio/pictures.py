"""What the page shows: enlarged images, grids, strips, GIFs, a histogram."""

import numpy as np
from PIL import Image

GAP = 4
_BACKGROUND = 255
_SECONDS_PER_FRAME = .08


def enlarge(image, size=256):
  """An image, each pixel a square, at least about `size` pixels high.

  Args:
    image: uint8 `[H, W, C]`.
    size: Python `int`. Default value: `256`.

  Returns:
    picture: uint8 `[H', W', 3]`.
  """
  factor = max(1, round(size / image.shape[0]))
  image = np.broadcast_to(image, (*image.shape[:2], 3))
  return image.repeat(factor, axis=0).repeat(factor, axis=1)


def grid(images, columns, size=96):
  """Images in rows, one after the other, with gaps between them.

  Args:
    images: uint8 `[N, H, W, C]`.
    columns: Python `int`; it divides `N`.
    size: See `enlarge`. Default value: `96`.

  Returns:
    picture: uint8 `[H', W', 3]`.
  """
  cells = np.pad(
      np.stack([enlarge(image, size) for image in images]),
      [(0, 0), (0, GAP), (0, GAP), (0, 0)], constant_values=_BACKGROUND)
  _, height, width, _ = cells.shape
  cells = cells.reshape(-1, columns, height, width, 3).swapaxes(1, 2)
  return cells.reshape(-1, columns * width, 3)[:-GAP, :-GAP]


def cell_at(x, y, image_shape, columns, size=96):
  """The number of the image of a `grid` that has a point.

  Args:
    x: From the left, in pixels of the grid.
    y: From the top.
    image_shape: `(H, W, C)` of the images.
    columns: As in `grid`.
    size: As in `grid`. Default value: `96`.

  Returns:
    number: Python `int`.
  """
  factor = max(1, round(size / image_shape[0]))
  row = int(y // (factor * image_shape[0] + GAP))
  column = int(x // (factor * image_shape[1] + GAP))
  return columns * row + min(column, columns - 1)


def save_gif(path, images):
  """Writes images, uint8 `[N, H, W, C]`, as a film there and back again."""
  frames = [Image.fromarray(enlarge(image)) for image in images]
  frames += frames[-2:0:-1]
  frames[0].save(
      path, save_all=True, append_images=frames[1:], loop=0,
      duration=round(1000 * _SECONDS_PER_FRAME))


def histogram(values, mark, unit, num_bins=30):
  """A histogram with one value marked, as SVG.

  Args:
    values: Floats `[M]`, not empty.
    mark: Python `float`.
    unit: Python `str`, what is below the axis.
    num_bins: Python `int`. Default value: `30`.

  Returns:
    svg: Python `str`.
  """
  low, high = min(values.min(), mark), max(values.max(), mark)
  margin = .03 * (high - low) or .5
  low, high = low - margin, high + margin
  counts, edges = np.histogram(values, num_bins, (low, high))
  width, height, top, bottom = 480, 170, 18, 36
  bar = width / num_bins

  def x(value):
    return (value - low) / (high - low) * width

  bars = ''.join(
      f'<rect x="{i * bar + .5:.1f}" width="{bar - 1:.1f}" '
      f'y="{top + height * (1 - n / counts.max()):.1f}" '
      f'height="{height * n / counts.max():.1f}" fill="#94a3b8"/>'
      for i, n in enumerate(counts))
  ticks = ''.join(
      f'<text x="{x(value):.1f}" y="{top + height + 15}" font-size="12" '
      f'text-anchor="middle" fill="currentColor">{value:.2f}</text>'
      for value in edges[3:-2:6])
  side = 'end' if x(mark) > width / 2 else 'start'
  shift = -6 if side == 'end' else 6
  return (
      f'<svg viewBox="0 0 {width} {top + height + bottom}" role="img" '
      'style="width:100%;max-width:640px" font-family="sans-serif">'
      f'{bars}<line x1="0" x2="{width}" y1="{top + height}" '
      f'y2="{top + height}" stroke="currentColor"/>{ticks}'
      f'<line x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="0" '
      f'y2="{top + height}" stroke="#ea580c" stroke-width="3"/>'
      f'<text x="{x(mark) + shift:.1f}" y="12" font-size="13" '
      f'text-anchor="{side}" fill="#ea580c">this picture, {mark:.2f}</text>'
      f'<text x="{width / 2}" y="{top + height + 32}" font-size="12" '
      f'text-anchor="middle" fill="currentColor">{unit}</text></svg>')
