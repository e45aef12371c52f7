"""Prepared images in one file, to be read in any order.

Preparing happens once. What is kept depends on the content of the source and
the fields that preparation reads, on nothing else, and is found again by their
hash.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

from absl import logging
import numpy as np
import tensorflow as tf
import tqdm

from training.data import preparation
from training.data import reading as reading_lib

# To be raised when the same fields prepare other pixels.
_VERSION = 2
_FIELDS = ('bits', 'channels', 'crop', 'shorter_side', 'image_size',
           'antialias', 'pad')
_BATCH = 256
_NUM_LISTED = 5
_SECONDS_OF_SILENCE = 2


@dataclasses.dataclass(frozen=True)
class Store:
  """Images in the file system, of one size or of many.

  Attributes:
    pixels: uint8 or uint16 `[...]`, all images, one after the other.
    shapes: int64 `[N, 3]`.
    labels: int32 `[N]`.
    reading: `reading.Reading`, of when they were prepared.
  """

  pixels: np.ndarray
  shapes: np.ndarray
  labels: np.ndarray
  reading: reading_lib.Reading

  def __post_init__(self):
    sizes = self.shapes.prod(axis=1)
    object.__setattr__(self, '_starts', np.cumsum(sizes) - sizes)
    is_uniform = np.all(self.shapes == self.shapes[0])
    images = self.pixels.reshape(-1, *self.shapes[0]) if is_uniform else None
    object.__setattr__(self, '_images', images)

  def __len__(self):
    return len(self.labels)

  def read(self, rows, image_shape, down, right):
    """Some images, or windows out of them.

    Args:
      rows: Integers `[B]`.
      image_shape: `(H, W, C)`, of the windows.
      down: `[B]`, in [0, 1), where each window is between top and bottom.
      right: `[B]`, where it is between left and right.

    Returns:
      images: `[B, H, W, C]`, of the type of `pixels`.
      labels: int32 `[B]`.
    """
    if self._images is not None and self._images.shape[1:] == image_shape:
      return self._images[rows], self.labels[rows]
    images = np.empty((len(rows), *image_shape), self.pixels.dtype)
    height, width, _ = image_shape
    for number, row in enumerate(rows):
      start, shape = self._starts[row], self.shapes[row]
      image = self.pixels[start:start + shape.prod()].reshape(shape)
      top = int(down[number] * (shape[0] - height + 1))
      left = int(right[number] * (shape[1] - width + 1))
      images[number] = image[top:top + height, left:left + width]
    return images, self.labels[rows]


def open_store(source, argument, rows, config, depth=8):
  """Opens what was prepared, or prepares it.

  Args:
    source: `source.Source`.
    argument: Python `str`, the name of the field that chose `rows`.
    rows: List of `source.Rows`.
    config: The fields of `get_config`.
    depth: Python `int`, bits of the images, 8 or 16. Default value: `8`.

  Returns:
    store: `Store`.

  Raises:
    ValueError: If images differ in size, or are too small, or have labels
      that are none, or if none can be read.
  """
  key = {
      'version': _VERSION, 'source': source.fingerprint(rows),
      'rows': [dataclasses.astuple(part) for part in rows],
      **{field: config[field] for field in _FIELDS}}
  if source.map_channels:
    key['condition'] = config.condition
  if depth != 8:
    key['depth'] = depth
  digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
  folder = cache_dir(config) / 'prepared' / digest.hexdigest()[:32]
  if folder.exists() and not _is_whole(folder):
    logging.warning('%s is damaged; the images are prepared again.', folder)
    shutil.rmtree(folder)
  if not folder.exists():
    try:
      _write(source, argument, rows, config, folder, depth)
    except OSError as error:
      error.add_note(
          f'The images of {source.name!r} are prepared in {folder.parent}; '
          '`cache_dir` puts them elsewhere.')
      raise
  return _open(source, folder, config, depth)


def cache_dir(config):
  """The folder for what can be made again."""
  if config.cache_dir is not None:
    return pathlib.Path(config.cache_dir).expanduser()
  cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(cache).expanduser() / 'tfp_glow'


def _is_whole(folder):
  """Whether the files have the sizes that were written."""
  try:
    sizes = json.loads((folder / 'sizes.json').read_text())
    return all((folder / name).stat().st_size == size
               for name, size in sizes.items())
  except (FileNotFoundError, json.JSONDecodeError):
    return False


def _open(source, folder, config, depth):
  with np.load(folder / 'index.npz') as index:
    shapes, labels = index['shapes'], index['labels']
    reading = reading_lib.Reading(config.bits, depth)
    reading.skipped.extend(index['skipped'].tolist())
    for room, value in index['largest'].tolist():
      reading.see(room, value, source.name)
  pixels = np.memmap(folder / 'images.bin', reading.dtype, 'r')
  return Store(pixels, shapes, labels, reading)


def _write(source, argument, rows, config, folder, depth):
  folder.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
    scratch = pathlib.Path(scratch) / 'store'
    scratch.mkdir()
    index = _write_images(
        source, argument, rows, config, scratch / 'images.bin', depth)
    np.savez(scratch / 'index.npz', **index)
    sizes = {path.name: path.stat().st_size for path in scratch.iterdir()}
    (scratch / 'sizes.json').write_text(json.dumps(sizes))
    try:
      os.rename(scratch, folder)
    except OSError:
      if not folder.exists():
        raise
      logging.info('Another process has prepared %s meanwhile.', folder)


def _write_images(source, argument, rows, config, path, depth):
  """Writes the pixels, and returns the other arrays by name."""
  reading, shapes, labels = reading_lib.Reading(config.bits, depth), [], []
  brightest = 0
  total = sum(part.stop - part.start for part in rows)
  progress = tqdm.tqdm(
      total=total, desc=f'Preparing {source.name}', unit=' images',
      delay=_SECONDS_OF_SILENCE)
  with open(path, 'wb') as file, progress:
    for pixels, *arrays in _batches(
        source.examples(rows, reading), config, source.map_channels):
      if isinstance(pixels, tf.RaggedTensor):  # not where all are alike
        pixels = pixels.flat_values
      new_shapes, new_labels, stored_shapes = (
          array.numpy() for array in arrays)
      shapes.append(new_shapes)
      labels.append(new_labels)
      _check_crop(source, config, stored_shapes)
      check_shapes(source, config, [shapes[0][0], *new_shapes])
      _check_labels(source, new_labels)
      reading.check()
      pixels = pixels.numpy()
      if not reading.largest:  # by a source whose values are of 8 bits
        brightest = max(brightest, int(pixels.max(initial=0)))
      file.write(pixels)
      progress.update(len(new_labels))
  if not labels:
    raise ValueError(
        f'Of `{argument}` of {source.name!r}, no image can be read:'
        f'{reading_lib.listed(reading.skipped)}')
  if not reading.largest:
    reading.see(8, brightest, source.name)
  return {
      'shapes': np.concatenate(shapes, dtype=np.int64),
      'labels': np.concatenate(labels),
      'skipped': np.array(reading.skipped, str),
      'largest': np.array([(room, value) for room, (value, _)
                           in reading.largest.items()])}


def _batches(examples, config, map_channels):
  """Prepared images as flat pixels, shapes, labels, and shapes beforehand."""
  def flat(image, label):
    image = tf.ensure_shape(image, [None] * 3)
    prepared = preparation.prepare(image, config, map_channels)
    return (tf.reshape(prepared, [-1]), tf.shape(prepared), label,
            tf.shape(image))

  examples = examples.map(flat, tf.data.AUTOTUNE, deterministic=True)
  return examples.ragged_batch(_BATCH).prefetch(2)


def _check_crop(source, config, shapes):
  """Raises if `crop` cannot be cut out of an image as it is stored."""
  needed = preparation.smallest(config)
  if needed is None:
    return
  small = np.any(shapes[:, :2] < needed, axis=1)
  if small.any():
    raise ValueError(
        f'`crop` is {config.crop!r}, which needs images of '
        f'{_size(needed)} pixels or more, but {source.name!r} has one of '
        f'{_size(shapes[small][0])}.')


def check_shapes(source, config, shapes):
  """Raises if images differ, or have less than is cut out at random.

  Args:
    source: `source.Source`.
    config: The fields of `get_config`.
    shapes: Iterable of `(H, W, C)`, of prepared images.

  Raises:
    ValueError: If they do.
  """
  channels = sorted({int(shape[2]) for shape in shapes})
  if len(channels) > 1:
    raise ValueError(
        f'{source.name!r} has images of {channels[0]} and of {channels[1]} '
        'channels: set `channels` to 3 or to 1.')
  if config.crop == 'random':
    needed = preparation.pair(config.image_size)
    for shape in shapes:
      if shape[0] < needed[0] or shape[1] < needed[1]:
        raise ValueError(
            f'`image_size` is {_size(needed)}, which `crop` cuts out at '
            f'random, but an image of {source.name!r} is {_size(shape)}: set '
            '`shorter_side`, so that images are resized beforehand.')
  else:
    sizes = sorted({_size(shape) for shape in shapes})
    if len(sizes) > 1:
      listed = ', '.join(sizes[:_NUM_LISTED])
      raise ValueError(
          f'{source.name!r} has images of different sizes ({listed}'
          f'{", ..." if len(sizes) > _NUM_LISTED else ""}): set `image_size` '
          'to the size that all are to be resized to.')


def _check_labels(source, labels):
  if source.class_names is None:
    return
  wrong = labels[(labels < 0) | (labels >= len(source.class_names))]
  if len(wrong):
    raise ValueError(
        f'{source.name!r} has {len(source.class_names)} classes, but an image '
        f'with the label {wrong[0]}. Some data sets keep the labels of one '
        'split secret: choose other splits by `train_split` and `eval_split`.')


def _size(shape):
  return f'{shape[0]}x{shape[1]}'
