"""Reads pictures that anyone may have sent, or says why it cannot."""

import os

import numpy as np
from PIL import Image
from PIL import ImageOps

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000
# What is kept, for the crop to be moved in.
_LONGEST_SIDE = 512
_FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')


class BadUpload(ValueError):
  """A file that is not taken; the message is a sentence for who sent it."""


def read(path: str) -> np.ndarray:
  """Reads a picture, the right way up.

  Args:
    path: The file.

  Returns:
    pixels: uint8 `[H, W, 3]`, its longer side at most 512.

  Raises:
    BadUpload: If the file is too large, no picture, animated, transparent or
      damaged.
  """
  size = os.path.getsize(path)
  if size > MAX_BYTES:
    raise BadUpload(
        f'This file has {size / 2**20:.1f} MB; pictures of up to '
        f'{MAX_BYTES // 2**20} MB are taken.')
  try:
    image = Image.open(path, formats=_FORMATS)
  except Image.DecompressionBombError as error:
    raise _too_many_pixels() from error
  except Exception as error:  # Decoders raise anything on foreign bytes.
    raise BadUpload(
        'This file is no picture that can be read here; PNG, JPEG, WebP, GIF, '
        'BMP and TIFF can.') from error
  with image:
    if image.width * image.height > MAX_PIXELS:
      raise _too_many_pixels()
    if getattr(image, 'n_frames', 1) > 1:
      raise BadUpload(
          'This picture is animated, or has several pages: a single one is '
          'needed. Save one of its frames by itself.')
    try:
      return _pixels(image)
    except BadUpload:
      raise
    except Exception as error:  # As above.
      raise BadUpload(
          'This picture is damaged: it ends early, or holds something that it '
          'should not.') from error


def crop(pixels, image_shape, zoom=1., across=.5, down=.5) -> np.ndarray:
  """Cuts a picture to a model's shape.

  Args:
    pixels: uint8 `[H, W, 3]`.
    image_shape: `(H, W, C)` of the model; where `C` is 1, it becomes grey.
    zoom: At least 1: how many times smaller the cut is than the largest that
      fits. Default value: `1.`.
    across: From 0, the cut at the left edge, to 1, the right.
      Default value: `0.5`.
    down: From 0, the top, to 1, the bottom. Default value: `0.5`.

  Returns:
    image: uint8, of that shape.
  """
  height, width, channels = image_shape
  image = Image.fromarray(pixels).convert('L' if channels == 1 else 'RGB')
  scale = min(image.width / width, image.height / height) / zoom
  # At least one pixel of pictures that are smaller than the cut.
  cut = [max(1, round(scale * side)) for side in (width, height)]
  left = round(across * (image.width - cut[0]))
  top = round(down * (image.height - cut[1]))
  # Triangles, made wider where it shrinks, as in training.
  resized = image.crop((left, top, left + cut[0], top + cut[1])).resize(
      (width, height), Image.Resampling.BILINEAR)
  return np.asarray(resized).reshape(image_shape)


def _pixels(image):
  if image.mode in ('I', 'F', 'I;16', 'I;16B', 'I;16L'):
    raise BadUpload(
        'This picture has more than 8 bits a colour: save it with 8.')
  image = ImageOps.exif_transpose(image)
  if image.has_transparency_data and np.asarray(
      image.convert('RGBA'))[..., 3].min() < 255:
    raise BadUpload(
        'This picture has transparent parts, whose colour is not known: save '
        'it on a background.')
  image = image.convert('RGB')
  image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
  return np.asarray(image)


def _too_many_pixels():
  return BadUpload(
      'This picture has too many pixels; up to '
      f'{MAX_PIXELS // 10**6} million are taken.')
