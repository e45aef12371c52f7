"""Prepared images in one file, to be read in any order.

Preparing happens once. What is kept depends on nothing but the content of the
source and the fields that preparation reads, and is found again by their hash.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile

from absl import logging
import numpy as np
import tensorflow as tf

from training.data import preparation

# What preparation depends on, and a number to raise when it changes.
_VERSION = 1
_FIELDS = ('channels', 'crop', 'shorter_side', 'image_size', 'antialias', 'pad')


@dataclasses.dataclass(frozen=True)
class Store:
  """Images of one or of many sizes, mapped into memory.

  Attributes:
    pixels: uint8 `[...]`, all images, one after the other.
    shapes: int32 `[N, 3]`.
    labels: int32 `[N]`.
    starts: int64 `[N]`, where each image starts in `pixels`.
  """

  pixels: np.ndarray
  shapes: np.ndarray
  labels: np.ndarray
  starts: np.ndarray

  def __len__(self):
    return len(self.labels)

  def read(self, rows, image_shape, down, right):
    """Some images, or windows out of them.

    Args:
      rows: Integers `[B]`.
      image_shape: `(H, W, C)`, of the windows.
      down: `[B]`, in [0, 1), how far down each window is: as far as it can be
        in the limit.
      right: `[B]`, how far to the right.

    Returns:
      images: uint8 `[B, H, W, C]`.
      labels: int32 `[B]`.
    """
    if np.all(self.shapes[rows] == image_shape):
      offsets = np.arange(np.prod(image_shape))
      images = self.pixels[self.starts[rows, None] + offsets]
      return images.reshape(-1, *image_shape), self.labels[rows]
    images = np.empty((len(rows), *image_shape), np.uint8)
    height, width, _ = image_shape
    for number, row in enumerate(rows):
      start, shape = self.starts[row], self.shapes[row]
      kept = self.pixels[start:start + shape.prod()].reshape(shape)
      top = int(down[number] * (shape[0] - height + 1))
      left = int(right[number] * (shape[1] - width + 1))
      images[number] = kept[top:top + height, left:left + width]
    return images, self.labels[rows]


def open_store(source, argument, rows, config):
  """Opens what was prepared, or prepares it.

  Args:
    source: `sources.Source`.
    argument: Python `str`, the name of the field that chose `rows`.
    rows: List of `sources.Rows`.
    config: The fields of `get_config`.

  Returns:
    store: `Store`.
  """
  key = {
      'version': _VERSION, 'source': source.fingerprint(rows),
      'rows': [dataclasses.astuple(part) for part in rows],
      **{field: config[field] for field in _FIELDS}}
  digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
  folder = cache_dir(config) / 'prepared' / digest.hexdigest()[:32]
  if not folder.exists():
    _write(source, rows, config, folder)
  return _open(folder)


def cache_dir(config):
  """The folder for what can be made again."""
  if config.cache_dir is not None:
    return pathlib.Path(config.cache_dir).expanduser()
  cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(cache).expanduser() / 'tfp_glow'


def _open(folder):
  with np.load(folder / 'index.npz') as index:
    shapes, labels = index['shapes'], index['labels']
  sizes = shapes.astype(np.int64).prod(axis=1)
  pixels = np.memmap(folder / 'images.bin', np.uint8, 'r', shape=sizes.sum())
  return Store(pixels, shapes, labels, np.cumsum(sizes) - sizes)


def _write(source, rows, config, folder):
  folder.parent.mkdir(parents=True, exist_ok=True)
  examples = source.examples(rows)

  def flat(image, label):
    image = preparation.prepare(tf.ensure_shape(image, [None] * 3), config)
    return tf.reshape(image, [-1]), tf.shape(image), label

  batches = examples.map(flat, tf.data.AUTOTUNE).ragged_batch(256).prefetch(2)
  shapes, labels = [], []
  with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
    scratch = pathlib.Path(scratch) / 'store'
    scratch.mkdir()
    with open(scratch / 'images.bin', 'wb') as file:
      for images, image_shapes, image_labels in batches:
        if isinstance(images, tf.RaggedTensor):  # not where all are alike
          images = images.flat_values
        file.write(images.numpy().tobytes())
        shapes.append(image_shapes.numpy())
        labels.append(image_labels.numpy())
    np.savez(scratch / 'index.npz', shapes=np.concatenate(shapes),
             labels=np.concatenate(labels))
    try:
      os.rename(scratch, folder)
    except FileExistsError:
      logging.info('%s was prepared by another process.', folder)
