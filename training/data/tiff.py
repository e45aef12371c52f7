"""TIFF files of more channels, or of more bits, than Pillow reads."""

import io

import numpy as np
import tifffile

_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_ALPHA = (1, 2)  # of ExtraSamples: premultiplied or not
_CMYK = 5  # of PhotometricInterpretation
_ORIENTATION = 274


def num_bands(path):
  """How many channels a TIFF file has that are neither colours nor alpha.

  Args:
    path: `pathlib.Path`, of a file of any kind.

  Returns:
    count: Python `int`, more than three; or 0.
  """
  try:
    with open(path, 'rb') as file:
      if file.read(4) not in _MAGIC:
        return 0
      file.seek(0)
      with tifffile.TiffFile(file) as images:
        page = images.pages[0]
        return page.samplesperpixel if _has_bands(page) else 0
  except (OSError, tifffile.TiffFileError):
    return 0  # damaged ones are told as they are read


def read_bands(content):
  """Reads a TIFF file that Pillow does not read whole.

  Args:
    content: `bytes` of a file of any kind.

  Returns:
    values: uint8 or uint16 `[H, W, C]`, of the first picture: all channels
      where they are more than three, and no transparency; or colours of 16
      bits each. `None` of any other file, and of those that are compressed in
      a way that tifffile alone cannot undo but Pillow can.

  Raises:
    ValueError: If values are no integers of 8 or 16 bits.
  """
  if content[:4] not in _MAGIC:
    return None
  with tifffile.TiffFile(io.BytesIO(content)) as images:
    page = images.pages[0]
    has_bands = _has_bands(page)
    if not has_bands and not (
        page.samplesperpixel in (3, 4) and page.bitspersample == 16
        and page.photometric != _CMYK):
      return None
    try:
      values = page.asarray()
    except ValueError:
      if has_bands:
        raise
      return None
    if values.dtype not in (np.uint8, np.uint16):
      raise ValueError(
          f'pixels of {values.dtype}, but uint8 or uint16 are needed')
    if page.axes.startswith('S'):  # one channel after the other
      values = np.moveaxis(values, 0, -1)
    tag = page.tags.get(_ORIENTATION)
    values = turned(values, 1 if tag is None else tag.value)
    return values if has_bands else values[..., :3]


def turned(values, orientation):
  """An image the right way up.

  Args:
    values: `[H, W, ...]`.
    orientation: Python `int`, 1 to 8, as EXIF and TIFF number them.

  Returns:
    values: `[H, W, ...]`, or `[W, H, ...]`.
  """
  if orientation in (5, 6, 7, 8):
    values = values.swapaxes(0, 1)
  if orientation in (3, 4, 7, 8):
    values = values[::-1]
  if orientation in (2, 3, 6, 7):
    values = values[:, ::-1]
  return values


def _has_bands(page):
  count = page.samplesperpixel
  is_rgba = count == 4 and page.extrasamples[:1] and (
      int(page.extrasamples[0]) in _ALPHA)
  return count > 3 and page.photometric != _CMYK and not is_rgba
