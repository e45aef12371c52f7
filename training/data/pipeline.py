"""Batches of prepared images."""

from absl import logging
import ml_collections
import numpy as np
import tensorflow as tf

from training.data import augmentation
from training.data import condition as condition_lib
from training.data import layout
from training.data import preparation
from training.data import reading as reading_lib
from training.data import source as source_lib
from training.data import sources
from training.data import store as store_lib

_EVALUATION_SEED = 0
# How many classes are listed.
_NUM_LISTED = 20


class Data:
  """Images to train on and to evaluate; made by `open`.

  Attributes:
    image_shape: `(H, W, C)`.
    num_classes: Python `int`, or `None` where images have no labels.
    class_names: List of Python `str`, or `None`.
    condition: `condition.Condition` of maps that a model is told, or `None`.
    feature_map_channels: Python `int`, of the maps that a model is told, or
      `None` where there are none.
    attributes: `dict` from names of attributes to the names of their values.
    train_split: Python `str`, what is trained on, in TFDS's syntax.
    num_train: Python `int`, how many images there are to train on.
    num_eval: Python `int`, how many there are to evaluate on.
    description: Python `str`, sentences: which images these are, and what was
      guessed about them.
  """

  def __init__(self, config, source, train, evaluation, train_split,
               eval_rows, description=''):
    self._config = ml_collections.FrozenConfigDict(config)
    self._source = source
    self._train = train
    self._eval = evaluation
    self._eval_rows = eval_rows
    self.train_split = train_split
    self.attributes = source.attributes
    self.class_names = source.class_names
    self.num_classes = len(self.class_names) if self.class_names else None
    self.num_train = len(train)
    self.num_eval = len(evaluation)
    *size, channels = (int(side) for side in train.shapes[0])
    if config.crop == 'random':
      size = preparation.pair(config.image_size)
    self.image_shape = (*size, channels - source.map_channels)
    self._stored_shape = (*size, channels)
    self.condition = condition_lib.parse(config.condition)
    self.feature_map_channels = self.condition and (
        self.condition.num_channels(self.image_shape, source.map_channels))
    self.description = description

  def train_batches(self, batch_size, seed, start_step=0):
    """An endless stream of batches to train on.

    Every image comes once an epoch, in an order of its own, and a batch may
    have the end of one epoch and the start of the next. The stream depends on
    nothing but the configuration, the batch size and the seed: its element `k`
    is the same in every process and whatever step it was started at.

    Args:
      batch_size: Python `int`, of all replicas together.
      seed: Python `int`, not negative, of orders and augmentation.
      start_step: Python `int`, how many batches to leave out at the start.
        Default value: `0`.

    Returns:
      batches: `tf.data.Dataset` of images, uint8 or, where a model has more
        than 8 bits, uint16 `[B, H, W, C]`, or of pairs with labels, int32
        `[B]`; where `condition` is set, with a `dict` of
        `'feature_map'`, float32 `[B, H, W, K]`, and labels, if any, as
        `'label'`.

    Raises:
      ValueError: If there are fewer images than `batch_size`, or a number is
        negative.
    """
    self._check_count('batch_size', batch_size)
    for argument, value in (('seed', seed), ('start_step', start_step)):
      if value < 0:
        raise ValueError(f'`{argument}` is {value}; it must not be negative.')
    num_train = self.num_train
    order, key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    order = order.astype(np.int64)
    first = start_step * batch_size

    def permutation(epoch):
      return tf.data.Dataset.from_tensor_slices(
          tf.random.experimental.stateless_shuffle(
              tf.range(num_train, dtype=tf.int64), [order, epoch]))

    def load(positions, rows):
      uniform = augmentation.draw(key, positions[0], batch_size)
      images, labels = self._read(
          self._train, rows, augmentation.windows(uniform))
      images = augmentation.augment(images, uniform, self._config)
      images, maps = self._with_maps(images, *augmentation.hidden(uniform))
      if self._config.mutate:
        images = augmentation.mutate(
            images, key, positions[0], self._config.mutate)
      return _batch(images, labels, maps)

    epochs = tf.data.Dataset.range(first // num_train, tf.int64.max)
    batches = epochs.flat_map(permutation).skip(first % num_train)
    batches = batches.enumerate(first).batch(batch_size, drop_remainder=True)
    batches = batches.map(load, tf.data.AUTOTUNE, deterministic=True)
    return _with_options(batches.prefetch(tf.data.AUTOTUNE))

  def eval_batches(self, batch_size, max_examples=None):
    """The images to evaluate on, once, in a fixed order.

    Args:
      batch_size: Python `int`. The last batch may be smaller.
      max_examples: Python `int`, how many to use: always the same ones,
        chosen at random from all. Default value: `None`, which uses all.

    Returns:
      batches: `tf.data.Dataset`, as of `train_batches`. What is hidden of an
        image is always in the same place.

    Raises:
      ValueError: If `batch_size` or `max_examples` is not positive.
    """
    for argument, value in (('batch_size', batch_size),
                            ('max_examples', max_examples)):
      if value is not None and value < 1:
        raise ValueError(f'`{argument}` is {value}; it must be positive.')
    rows = np.arange(self.num_eval)
    if max_examples is not None and max_examples < self.num_eval:
      chosen = np.random.default_rng(_EVALUATION_SEED).choice(
          self.num_eval, max_examples, replace=False)
      rows = np.sort(chosen)

    places = tf.constant(np.random.default_rng(_EVALUATION_SEED).random(
        (2, self.num_eval), np.float32))

    def load(rows):
      centre = tf.fill(tf.shape(rows), .5)
      images, labels = self._read(self._eval, rows, (centre, centre))
      images, maps = self._with_maps(
          images, *tf.unstack(tf.gather(places, rows, axis=1)))
      return _batch(images, labels, maps)

    batches = tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)
    batches = batches.map(load, tf.data.AUTOTUNE, deterministic=True)
    return _with_options(batches.prefetch(tf.data.AUTOTUNE))

  def eval_attribute(self, name):
    """An attribute of the images to evaluate on.

    Args:
      name: Python `str`, one of `attributes`.

    Returns:
      values: int32 array `[num_eval]`, numbers of the attribute's values, in
        the order of `eval_batches`.

    Raises:
      ValueError: If there is no such attribute.
    """
    if name not in self.attributes:
      raise ValueError(
          f'{name!r} is no attribute of {self._source.name!r}, which has '
          + (f'these: {", ".join(self.attributes)}.' if self.attributes
             else 'none.'))
    return self._source.attribute(self._eval_rows, name)

  def train_examples(self, count, seed):
    """Some images as training sees them, to initialise a model from.

    Args:
      count: Python `int`, of different images.
      seed: Python `int`, not negative.

    Returns:
      examples: Arrays, as `train_batches` has them in a batch.

    Raises:
      ValueError: If there are fewer than `count`.
    """
    self._check_count('count', count)
    return next(self.train_batches(count, seed).as_numpy_iterator())

  def _check_count(self, argument, count):
    if not 0 < count <= self.num_train:
      raise ValueError(
          f'`{argument}` is {count}, but there are {self.num_train} images to '
          f'train on: it must be between 1 and {self.num_train}.')

  def _read(self, store, rows, windows):
    def read(rows, down, right):
      return store.read(rows, self._stored_shape, down, right)

    images, labels = tf.numpy_function(
        read, [rows, *windows], (store.pixels.dtype, tf.int32), stateful=False)
    images = tf.ensure_shape(images, (*rows.shape, *self._stored_shape))
    if self.class_names is None:
      return images, None
    return images, tf.ensure_shape(labels, rows.shape)

  def _with_maps(self, images, down, right):
    """Images as they are stored, apart from their maps; these may be made."""
    if self.condition is None:
      return images, None
    if not self.condition.is_own:
      return images, self.condition.maps(images, down, right)
    channels = self.image_shape[-1]
    return images[..., :channels], condition_lib.centered(
        images[..., channels:], images.dtype)


def open(config, download=False, num_bits=8):
  """Opens the images that a configuration names, and prepares them once.

  Args:
    config: The fields of `get_config`.
    download: Python `bool`, whether what is missing may be downloaded.
      Default value: `False`.
    num_bits: Python `int`, of each value that a model has: images are uint16
      where that is more than 8. Default value: `8`.

  Returns:
    data: `Data`.

  Raises:
    ConnectionError: If images have to be downloaded and cannot be.
    FileNotFoundError: If they are not there, and must not be downloaded.
    ValueError: If a field is none of what it may be, or does not fit the
      images; the message has what was given and what is needed.
  """
  preparation.check(config)
  augmentation.check(config)
  condition_lib.parse(config.condition)
  source = sources.open_source(config, download)
  depth = 8 if num_bits <= 8 else 16
  stores, splits, parts = [], [], []
  for argument, default in zip(('train_split', 'eval_split'),
                               source_lib.default_splits(source)):
    splits.append(config[argument] or default)
    parts.append(source_lib.select(source, argument, splits[-1]))
    stores.append(store_lib.open_store(
        source, argument, parts[-1], config, depth))
  store_lib.check_shapes(source, config, [store.shapes[0] for store in stores])
  reading = reading_lib.Reading(config.bits, depth)
  for store in stores:
    reading.add(store.reading)
  reading.check_fills(num_bits, source.name)
  reading.warn(source.name)
  left_out = {name: size for name, size in source.splits.items()
              if name not in {part.split for rows in parts for part in rows}}
  _warn_of_guesses(source, stores, left_out)
  data = Data(config, source, *stores, splits[0], parts[1],
              _description(source, stores, splits, left_out, reading))
  augmentation.check_fits(config, data.image_shape)
  return data


def _batch(images, labels, maps):
  """What a batch has: images alone, or with what is known of them."""
  if maps is not None:
    labels = {'feature_map': maps} | (
        {} if labels is None else {'label': labels})
  return images if labels is None else (images, labels)


def _warn_of_guesses(source, stores, left_out):
  """Says what is likely to be a mistake."""
  if any(layout.role(name) is None for name in left_out):
    logging.warning(
        '%s: left out are the splits %s. `train_split` and `eval_split` choose '
        'others.', source.name, _sizes(left_out))
  if source.class_names:
    train, evaluation = (
        np.bincount(store.labels, minlength=len(source.class_names))
        for store in stores)
    unseen = [name for name, *counts in zip(
        source.class_names, train, evaluation) if counts[0] == 0 < counts[1]]
    if unseen:
      logging.warning(
          '%s: there are images to evaluate on, but none to train on, of %s.',
          source.name, _listed(unseen))


def _description(source, stores, splits, left_out, reading):
  """What is known, and guessed, of some images."""
  train, evaluation = stores
  sentences = [
      f'{source.name}: {len(train):,} images to train on ({splits[0]}), '
      f'{len(evaluation):,} to evaluate on ({splits[1]}'
      + (f', a tenth{" of each class" if source.class_names else ""}, held out'
         if source.is_held_out and splits[1] == 'test' else '') + ').']
  if left_out:
    sentences.append(f'Left out: {_sizes(left_out)}.')
  if source.class_names:
    names = source.class_names
    counts = [np.bincount(store.labels, minlength=len(names))
              for store in stores]
    sentences.append(
        f'{len(names):,} {"class" if len(names) == 1 else "classes"}: '
        + _listed([f'{name} ({first:,} + {second:,})'
                   for name, first, second in zip(names, *counts)]) + '.')
  else:
    sentences.append('No classes.')
  if reading.skipped:
    sentences.append(f'{len(reading.skipped):,} could not be read.')
  sentences += reading.conversions()
  return ' '.join(sentences)


def _sizes(splits):
  return ', '.join(f'{name} ({size:,})' for name, size in splits.items())


def _listed(names):
  more = ', ...' if len(names) > _NUM_LISTED else ''
  return ', '.join(names[:_NUM_LISTED]) + more


def _with_options(batches):
  options = tf.data.Options()
  options.deterministic = True
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.DATA)
  return batches.with_options(options)
