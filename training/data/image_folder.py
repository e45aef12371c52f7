"""Images in a folder, with sub-folders for classes and splits, or flat."""

import collections
import hashlib
import math
import os
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from PIL import ImageOps
import tensorflow as tf

from training.data import source

_SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif',
            '.tiff', '.webp')

# How many files one call of Python reads: calls wait for each other.
_CHUNK = 16

# What Pillow raises on damaged files.
_DAMAGE = (EOFError, OSError, SyntaxError, ValueError, struct.error, zlib.error,
           Image.DecompressionBombError)


class ImageFolder(source.Source):
  """The images in a folder.

  Where it has a folder called `train`, each of its folders is a split.
  Otherwise a tenth of the images is held out as `test`: those whose names come
  first by a hash, so that they stay held out when others are added.

  In a split, images are in one folder for each class, or directly in it and
  then have no labels. Deeper folders make no difference.
  """

  def __init__(self, path):
    super().__init__(f'image_folder:{path}')
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
      raise FileNotFoundError(
          f'`name` is {self.name!r}, but there is no such folder. Put the '
          'images there, in one sub-folder for each class, or all together '
          'where there are no classes.')
    names, ignored = _list(root)
    source.log_skipped(self.name, ignored)
    if not names:
      raise ValueError(
          f'`name` is {self.name!r}, but no image is there: no file has the '
          f'suffix {", ".join(_SUFFIXES)}.')
    self._root = root
    if any(parts[0] == 'train' for parts in names if len(parts) > 1):
      self._splits = collections.defaultdict(list)
      for parts in names:
        if len(parts) > 1:
          self._splits[parts[0]].append(parts)
      depth = 1
    else:
      self._splits = _hold_out(names)
      depth = 0
    self.class_names = self._class_names(depth)
    self._class_depth = depth

  @property
  def splits(self):
    return {split: len(names) for split, names in self._splits.items()}

  def fingerprint(self, rows):
    digest = hashlib.sha256()
    for parts in self._names(rows):
      stat = self._root.joinpath(*parts).stat()
      digest.update(repr((parts, stat.st_size, stat.st_mtime_ns)).encode())
    return [str(self._root.resolve()), self.class_names, digest.hexdigest()]

  def examples(self, rows, skipped):
    names = self._names(rows)
    labels = np.zeros(len(names), np.int32)
    if self.class_names:
      labels = np.array([self.class_names.index(parts[self._class_depth])
                         for parts in names], np.int32)

    def decode(paths):
      images = [self._decode(os.fsdecode(path), skipped) for path in paths]
      shapes = np.array([image.shape for image in images], np.int64)
      return np.concatenate([image.ravel() for image in images]), shapes

    def load(paths, labels):
      pixels, shapes = tf.numpy_function(
          decode, [paths], (tf.uint8, tf.int64), stateful=False)
      shapes = tf.ensure_shape(shapes, [None, 3])
      images = tf.RaggedTensor.from_row_lengths(
          tf.ensure_shape(pixels, [None]), tf.reduce_prod(shapes, axis=1))
      return images, shapes, labels

    def image_and_label(pixels, shape, label):
      image = tf.reshape(pixels, shape)
      return tf.ensure_shape(image, [None, None, 3]), label

    paths = [os.fsencode(os.path.join(*parts)) for parts in names]
    examples = tf.data.Dataset.from_tensor_slices((paths, labels))
    examples = examples.batch(_CHUNK).map(load, tf.data.AUTOTUNE).unbatch()
    return examples.filter(
        lambda pixels, *_: tf.size(pixels) > 0).map(image_and_label)

  def _decode(self, path, skipped):
    try:
      return _decode(self._root / path)
    except _DAMAGE as error:
      skipped.append(f'{path}: {error}')
      return np.empty([0, 0, 3], np.uint8)

  def _names(self, rows):
    return [parts for part in rows
            for parts in self._splits[part.split][part.start:part.stop]]

  def _class_names(self, depth):
    names = [parts for split in self._splits.values() for parts in split]
    labelled = [len(parts) > depth + 1 for parts in names]
    if not any(labelled):
      return None
    if not all(labelled):
      beside = pathlib.Path(*names[labelled.index(False)])
      raise ValueError(
          f'`name` is {self.name!r}, where images are in sub-folders, one for '
          f'each class, but {beside} is beside them: put it, and all like it, '
          'into one, or all images into the same folder.')
    return sorted({parts[depth] for parts in names})


def _list(root):
  """The images' paths as tuples of names, sorted, and what else is there."""
  names, ignored = [], []
  for folder, folders, files in os.walk(root):
    inside = pathlib.Path(folder).relative_to(root).parts
    for hidden in [name for name in folders if name.startswith('.')]:
      folders.remove(hidden)
      ignored.append(f'{os.path.join(*inside, hidden)}: hidden')
    for file in files:
      if file.startswith('.'):
        ignored.append(f'{os.path.join(*inside, file)}: hidden')
      elif not file.lower().endswith(_SUFFIXES):
        ignored.append(
            f'{os.path.join(*inside, file)}: no image by its suffix')
      else:
        names.append((*inside, file))
  return sorted(names), ignored


def _hold_out(names):
  def by_hash(parts):
    return hashlib.sha256(os.fsencode(os.path.join(*parts))).digest()

  held_out = set(sorted(names, key=by_hash)[:math.ceil(len(names) / 10)])
  return {'train': [parts for parts in names if parts not in held_out],
          'test': sorted(held_out)}


def _decode(path):
  """Reads an image, the right way up, as uint8 RGB."""
  with Image.open(path) as image:
    # Pillow would clip these at 255, not scale them. Older versions of it give
    # PNGs of 16 bits the mode of 32.
    is_16_bit = image.mode.startswith('I;16') or (
        image.mode == 'I' and image.format == 'PNG')
    if image.mode in ('I', 'F') and not is_16_bit:
      raise ValueError(
          f'pixels of 32 bits ({image.mode!r}), whose range is not known')
    image = ImageOps.exif_transpose(image)
    if is_16_bit:
      grey = (np.asarray(image) >> 8).astype(np.uint8)
      return np.repeat(grey[..., None], 3, axis=-1)
    return np.asarray(image.convert('RGB'))
