"""Images in a folder, with sub-folders for classes and splits, or flat."""

import hashlib
import io
import os
import pathlib

import numpy as np
from PIL import ExifTags
from PIL import Image
from PIL import ImageOps
import tensorflow as tf

from training.data import layout
from training.data import reading as reading_lib
from training.data import source
from training.data import tiff

# How many files one call of Python reads: calls wait for each other.
_CHUNK = 16
_NUM_LISTED = 5
_COLOURS = 3
_BITS_PER_SAMPLE = 258  # a tag of TIFF


class ImageFolder(source.Source):
  """The images in a folder.

  Folders at the top are splits where they are called so: see
  `layout.splits`. Where none is to be evaluated on, a tenth of each class is
  held out as `test`: those images whose names come first by a hash, so that
  they stay held out when others are added.

  In a split, images are in one folder for each class, or directly in it and
  then have no labels. Deeper folders make no difference. Links are followed.
  """

  def __init__(self, path, maps=None):
    super().__init__(f'image_folder:{path}')
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
      raise FileNotFoundError(
          f'`name` is {self.name!r}, but there is no such folder. Put the '
          'images there, in one sub-folder for each class, or all together '
          'where there are no classes.')
    names, ignored = layout.list_images(root)
    splits = layout.splits(names)
    if splits is not None:
      ignored += [f'{parts[0]}: beside the splits {", ".join(splits)}'
                  for parts in names if len(parts) == 1]
      names = [parts for split in splits.values() for parts in split]
    if not names:
      raise ValueError(
          f'`name` is {self.name!r}, but no image is there: no file has the '
          f'suffix {", ".join(layout.SUFFIXES)}, and can be found.'
          f'{reading_lib.listed(ignored)}')
    reading_lib.log_skipped(self.name, ignored)
    self._root = root
    self._class_depth = depth = 0 if splits is None else 1
    misplaced = layout.misplaced_splits(names, depth)
    if misplaced:
      raise ValueError(
          f'`name` is {self.name!r}, where {misplaced[0]} has folders called '
          'as those of splits are. They must come first: the folder that has '
          'them is what to name, and folders of classes are in them.')
    self.class_names = self._class_names(names)
    self._splits = self._with_held_out({'train': names} if splits is None else
                                       splits)
    self._num_channels = tiff.num_bands(root.joinpath(*names[0])) or _COLOURS
    self._maps = maps and Maps(maps, names)
    self.map_channels = _COLOURS if maps else 0

  @property
  def splits(self):
    return {split: len(names) for split, names in self._splits.items()}

  def fingerprint(self, rows):
    digest = hashlib.sha256()
    for parts in self._names(rows):
      stat = self._root.joinpath(*parts).stat()
      digest.update(repr((parts, stat.st_size, stat.st_mtime_ns)).encode())
      if self._maps:
        stat = self._maps.path(parts).stat()
        digest.update(repr((stat.st_size, stat.st_mtime_ns)).encode())
    if self._num_channels != _COLOURS:
      digest.update(repr(self._num_channels).encode())
    return [str(self._root.resolve()), self.class_names, digest.hexdigest()]

  def examples(self, rows, reading):
    names = self._names(rows)
    labels = np.zeros(len(names), np.int32)
    if self.class_names:
      labels = np.array([self.class_names.index(parts[self._class_depth])
                         for parts in names], np.int32)

    def decode(paths):
      images = [self._decode(os.fsdecode(path), reading) for path in paths]
      shapes = np.array([image.shape for image in images], np.int64)
      return np.concatenate([image.ravel() for image in images]), shapes

    def load(paths, labels):
      pixels, shapes = tf.numpy_function(
          decode, [paths], (reading.dtype, tf.int64), stateful=False)
      shapes = tf.ensure_shape(shapes, [None, 3])
      images = tf.RaggedTensor.from_row_lengths(
          tf.ensure_shape(pixels, [None]), tf.reduce_prod(shapes, axis=1))
      return images, shapes, labels

    def image_and_label(pixels, shape, label):
      image = tf.reshape(pixels, shape)
      channels = self._num_channels + self.map_channels
      return tf.ensure_shape(image, [None, None, channels]), label

    paths = [os.fsencode(os.path.join(*parts)) for parts in names]
    examples = tf.data.Dataset.from_tensor_slices((paths, labels))
    examples = examples.batch(_CHUNK).map(load, tf.data.AUTOTUNE).unbatch()
    return examples.filter(
        lambda pixels, *_: tf.size(pixels) > 0).map(image_and_label)

  def _decode(self, path, reading):
    try:
      image = read_image(self._root / path, reading)
      if image.shape[-1] != self._num_channels:
        raise ValueError(
            f'it has {image.shape[-1]} channels, but the first image has '
            f'{self._num_channels}')
      if self._maps:
        image = np.concatenate([image, self._maps.read(
            pathlib.Path(path).parts, image.shape, reading)], axis=-1)
      return image
    except Exception as error:  # Pillow raises anything on damaged files
      reading.skipped.append(f'{path}: {error}')
      return np.empty(
          [0, 0, self._num_channels + self.map_channels], reading.dtype)

  def _names(self, rows):
    return [parts for part in rows
            for parts in self._splits[part.split][part.start:part.stop]]

  def _with_held_out(self, splits):
    """The splits, with a tenth held out where there is none to evaluate on."""
    roles = {layout.role(split): split for split in reversed(splits)}
    if 'train' not in roles or {'test', 'validation'} & set(roles):
      return splits
    depth = self._class_depth if self.class_names else None
    held_out = layout.hold_out(
        splits[roles['train']],
        lambda parts: None if depth is None else parts[depth])
    self.is_held_out = True
    return {**splits, roles['train']: held_out['train'],
            'test': held_out['test']}

  def _class_names(self, names):
    depth = self._class_depth
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


class Maps:
  """The images of a folder that go with those of another, by their names."""

  def __init__(self, folder, names):
    """Finds the map of each image.

    Args:
      folder: Python `str`, path of the maps.
      names: Paths of the images as tuples of names; suffixes may differ.

    Raises:
      FileNotFoundError: If there is no such folder.
      ValueError: If an image has no map, or two.
    """
    self._root = pathlib.Path(folder).expanduser()
    condition = f'`condition` is image_folder:{folder}'
    if not self._root.is_dir():
      raise FileNotFoundError(f'{condition}, but there is no such folder.')
    self._paths, twice = {}, set()
    for parts in layout.list_images(self._root)[0]:
      key = _without_suffix(parts)
      if key in self._paths:
        twice.add(key)
      self._paths[key] = parts
    missing = [parts for parts in names
               if _without_suffix(parts) not in self._paths]
    several = [parts for parts in names if _without_suffix(parts) in twice]
    for wrong, what in ((missing, 'no map'), (several, 'more than one map')):
      if wrong:
        listed = ', '.join(str(pathlib.Path(*parts))
                           for parts in wrong[:_NUM_LISTED])
        raise ValueError(
            f'{condition}, where {len(wrong)} of {len(names)} images have '
            f'{what} of their name: {listed}'
            f'{", ..." if len(wrong) > _NUM_LISTED else ""}.')

  def path(self, parts):
    """The path of the map of an image, a tuple of names."""
    return self._root.joinpath(*self._paths[_without_suffix(parts)])

  def read(self, parts, image_shape, reading):
    """The map of an image, `[H, W, 3]`, of `reading.dtype`."""
    path = self.path(parts)
    values = read_image(path, reading)
    if values.shape[:2] != image_shape[:2]:
      raise ValueError(
          f'its map {path} is {values.shape[0]}x{values.shape[1]}, but it is '
          f'{image_shape[0]}x{image_shape[1]}')
    if values.shape[-1] != _COLOURS:
      raise ValueError(
          f'its map {path} has {values.shape[-1]} channels, but 3 are needed')
    return values


def _without_suffix(parts):
  return (*parts[:-1], pathlib.Path(parts[-1]).stem)


def read_image(path, reading=None):
  """Reads an image, the right way up.

  Args:
    path: `pathlib.Path`.
    reading: `reading.Reading`. Default value: `None`, one of 8 bits.

  Returns:
    image: `[H, W, C]`, of `reading.dtype`: RGB, or of as many channels as a
      TIFF file has, if these are more, and no transparency.
  """
  reading = reading or reading_lib.Reading()
  # Of a path, Pillow may map pixels into memory, which turns them wrongly.
  content = path.read_bytes()
  bands = tiff.read_bands(content)
  if bands is not None:
    return reading.to_top(bands, path.name)
  with Image.open(io.BytesIO(content)) as image:
    bits = room = _bits(image, content)
    if image.mode in ('I', 'F') or image.mode.startswith('I;16'):
      values, room = _grey(image, bits, reading)
    elif bits == 16 and image.format == 'PNG':
      values = _deep_colours(image, content)
    else:
      values = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
      if bits == 16:
        reading.see_upper_bytes(values, path.name)
        return values
      room = 8
  values = reading.to_top(values, path.name, room)
  return values if values.ndim == 3 else np.repeat(values[..., None], 3, -1)


def _bits(image, content):
  """How many bits a value of the file has."""
  if image.format == 'PNG':
    return content[24]
  if image.format == 'TIFF':
    return image.tag_v2.get(_BITS_PER_SAMPLE, (1,))[0]
  if image.format == 'PPM' and image.mode == 'I':
    _, *largest = np.atleast_1d(image.tile[0].args)
    return int(largest[0]).bit_length() if largest else 16
  return 8


def _grey(image, bits, reading):
  """Grey values of more than 8 bits, which Pillow would clip, and how many."""
  mode, kind = image.mode, image.format
  values = np.asarray(ImageOps.exif_transpose(image))
  if kind == 'TIFF' and mode in ('I', 'F'):  # or of 16 bits with a sign
    if mode == 'F' or not reading.knows_bits:
      raise ValueError(
          f'pixels of 32 bits ({mode!r}), whose range is not known')
    if values.min() < 0:
      raise ValueError(f'the value {values.min()}, which is negative')
    return values, 8 * values.dtype.itemsize
  values = values.astype(np.uint16)
  if bits < 16 and kind == 'PPM':
    # Pillow scales the range that the file states to that of 16 bits.
    return values >> (16 - bits), bits
  return values, bits


def _deep_colours(image, content):
  """The values of a PNG of 16 bits each, of which Pillow reads the upper 8."""
  image.load()
  values = tf.io.decode_png(content, dtype=tf.uint16).numpy()
  values = tiff.turned(
      values, image.getexif().get(ExifTags.Base.Orientation, 1))
  colours = values[..., :3] if values.shape[-1] > 2 else values[..., :1]
  return np.broadcast_to(colours, (*colours.shape[:2], 3))
