"""Images in a NumPy file."""

import math
import pathlib

import numpy as np
import tensorflow as tf

from training.data import source

# How many images one call of Python reads.
_CHUNK = 256

# How many classes may be more than there are images.
_FEW_CLASSES = 1000

# The names of images and labels, by split.
_LAYOUTS = (
    {'train': ('train', 'train_labels'), 'test': ('test', 'test_labels')},
    {'train': ('x_train', 'y_train'), 'test': ('x_test', 'y_test')},
    {'train': ('images', 'labels')},
)


class Npz(source.Source):
  """The arrays of one `.npz` file.

  Images are uint8 or uint16 `[N, H, W, C]`, or `[N, H, W]` of grey ones, and
  are called `train` and `test`, or, as in Keras's own files, `x_train` and
  `x_test`, or `images`. Where there are none to evaluate on, a tenth of each
  class is drawn from the others and held out as `test`. Labels, integers `[N]`,
  are `train_labels` and `test_labels`, `y_train` and `y_test`, or `labels`;
  they may be absent. So may maps of one's own, which a model is told of the
  images: `train_feature_map`, `x_train_feature_map` and so on, of the height
  and width of the images and of any number of channels.
  """

  def __init__(self, path, has_maps=False):
    super().__init__(f'npz:{path}')
    self._path = pathlib.Path(path).expanduser()
    self._arrays, self._maps = _load(self._path, has_maps)
    channels = {maps.shape[-1] for maps in self._maps.values()}
    if len(channels) > 1:
      raise ValueError(
          f'The maps of {self._path} have {min(channels)} channels in one '
          f'split and {max(channels)} in another; needed are as many.')
    self.map_channels = channels.pop() if channels else 0
    if list(self._arrays) == ['train']:
      rows = _hold_out(*self._arrays['train'])
      self._maps = {split: self._maps['train'][chosen]
                    for split, chosen in rows.items() if self._maps}
      self._arrays = _of_rows(*self._arrays['train'], rows)
      self.is_held_out = True
    labels = [labels for _, labels in self._arrays.values()
              if labels is not None]
    if labels:
      num_classes = 1 + max(
          (int(array.max()) for array in labels if array.size), default=0)
      num_images = sum(len(array) for array in labels)
      if num_classes > max(_FEW_CLASSES, num_images):
        raise ValueError(
            f'{self._path} has the label {num_classes - 1:,} and '
            f'{num_images:,} images: labels must number the classes, from 0. '
            '`numpy.unique(labels, return_inverse=True)[1]` does so.')
      self.class_names = [str(label) for label in range(num_classes)]

  @property
  def splits(self):
    return {split: len(images) for split, (images, _) in self._arrays.items()}

  def fingerprint(self, rows):
    stat = self._path.stat()
    return [str(self._path.resolve()), stat.st_size, stat.st_mtime_ns]

  def examples(self, rows, reading):
    def of_rows(arrays):
      return np.concatenate([
          arrays[part.split][part.start:part.stop] for part in rows])

    columns = [of_rows({split: images for split, (images, _) in
                        self._arrays.items()})]
    if self._maps:
      columns.append(of_rows(self._maps))
    channels = sum(column.shape[-1] for column in columns)
    labels = np.zeros(len(columns[0]), np.int32)
    if self.class_names:
      labels = of_rows({split: labels for split, (_, labels) in
                        self._arrays.items()})

    def read(rows):
      images = [reading.to_top(column[rows], str(self._path))
                for column in columns]
      return np.concatenate(images, axis=-1), labels[rows].astype(np.int32)

    def load(rows):
      images, labels = tf.numpy_function(
          read, [rows], (reading.dtype, tf.int32), stateful=False)
      return (tf.ensure_shape(
          images, [None, *columns[0].shape[1:-1], channels]),
              tf.ensure_shape(labels, [None]))

    rows = tf.data.Dataset.range(len(labels)).batch(_CHUNK)
    return rows.map(load).unbatch()


def _load(path, has_maps):
  """Reads and checks the arrays.

  Returns:
    arrays: `{split: (images, labels or None)}`.
    maps: `{split: maps}`, empty where there are none to be read.
  """
  if not path.is_file():
    raise FileNotFoundError(f'`name` is npz:{path}, but there is no such file.')
  try:
    file = np.load(path)
    arrays = None if isinstance(file, np.ndarray) else dict(file)
  except Exception as error:  # NumPy raises anything on damaged files
    raise ValueError(
        f'{path} cannot be read: {error}. It must be a file of plain arrays '
        'that `numpy.savez` wrote.') from error
  if arrays is None:
    raise ValueError(
        f'{path} has one array without a name. It must be a file that '
        '`numpy.savez` wrote: numpy.savez(PATH, images=...).')
  for layout in _LAYOUTS:
    found = {split: names for split, names in layout.items()
             if names[0] in arrays}
    if 'train' in found:
      labelled = [names[1] in arrays for names in found.values()]
      if any(labelled) and not all(labelled):
        needed = ' and '.join(f'`{names[1]}`' for names in found.values())
        raise ValueError(
            f'{path} has labels of one split only: it must have {needed}, or '
            'neither.')
      checked = {split: _checked(path, arrays, *names)
                 for split, names in found.items()}
      return checked, {
          split: _checked_maps(path, arrays, names[0], checked[split][0])
          for split, names in found.items() if has_maps}
  raise ValueError(
      f'{path} has the arrays {", ".join(arrays) or "(none)"}; needed are '
      'images called `train` (and `test`), `x_train` (and `x_test`), or '
      '`images`.')


def _checked(path, arrays, name, label_name):
  images = arrays[name]
  if images.dtype not in (np.uint8, np.uint16):
    raise ValueError(
        f'`{name}` of {path} is {images.dtype}; it must be uint8, from 0 to '
        '255, or uint16.')
  if images.ndim == 3:
    images = images[..., None]
  if images.ndim != 4 or not images.shape[-1]:
    raise ValueError(
        f'`{name}` of {path} has the shape {list(images.shape)}; it must be '
        '[N, H, W, C], or [N, H, W].')
  _, height, width, channels = images.shape
  if height in (1, 3) and height < min(width, channels):
    raise ValueError(
        f'`{name}` of {path} has the shape {list(images.shape)}, which looks '
        'like channels first; they must come last: numpy.moveaxis(images, 1, '
        '-1).')
  if label_name not in arrays:
    return images, None
  labels = arrays[label_name]
  if labels.shape == (len(images), 1):
    labels = labels[:, 0]
  if labels.shape != images.shape[:1] or labels.dtype.kind not in 'iu':
    raise ValueError(
        f'`{label_name}` of {path} is {labels.dtype} '
        f'{list(labels.shape)}; it must be integers [{len(images)}], one for '
        f'each image of `{name}`.')
  if labels.size and labels.min() < 0:
    raise ValueError(
        f'`{label_name}` of {path} has the label {labels.min()}; labels start '
        'at 0.')
  return images, labels


def _checked_maps(path, arrays, name, images):
  """The maps that go with `images`, which are called `name`."""
  column = f'{name}_feature_map'
  if column not in arrays:
    raise ValueError(
        f"`condition` is 'feature_map', but {path} has no `{column}` beside "
        f'`{name}`.')
  maps = arrays[column]
  if maps.dtype not in (np.uint8, np.uint16):
    raise ValueError(
        f'`{column}` of {path} is {maps.dtype}; it must be uint8 or uint16: '
        'scale it.')
  if maps.ndim == 3:
    maps = maps[..., None]
  if maps.ndim != 4 or maps.shape[:3] != images.shape[:3] or (
      not maps.shape[-1]):
    raise ValueError(
        f'`{column}` of {path} has the shape {list(maps.shape)}; needed is '
        f'{[*images.shape[:3]]} or {[*images.shape[:3]]} and channels, as '
        f'`{name}` has it.')
  return maps


def _hold_out(images, labels):
  """Draws a tenth of each class, or of all where there are no labels."""
  order = np.random.default_rng(0).permutation(len(images))
  classes = np.zeros(len(images), np.int64) if labels is None else labels
  held_out = np.zeros(len(images), bool)
  for label in np.unique(classes):
    members = order[classes[order] == label]
    if len(members) > 1:
      held_out[members[:math.ceil(len(members) / 10)]] = True
  return {'train': ~held_out, 'test': held_out}


def _of_rows(images, labels, rows):
  """Images and labels of the rows of each split."""
  return {split: (images[chosen], None if labels is None else labels[chosen])
          for split, chosen in rows.items()}
