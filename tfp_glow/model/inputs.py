"""Images and conditions of a model: packed in one form, and checked once."""

from collections.abc import Iterable
from collections.abc import Mapping
import operator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.model import pixels as pixels_lib

_OF_FLOATS = ('feature_map', 'context')


class Inputs:
  """Checks of what a model is given, the same in eager mode and in graphs.

  In eager mode, and inside a graph where a shape is known, what is wrong is a
  `TypeError` or `ValueError`; what a graph sees only when it runs is an
  `InvalidArgumentError` with the same words.
  """

  def __init__(self,
               pixels: pixels_lib.Pixels,
               condition_names: frozenset[str],
               condition_shapes: Mapping[str, tuple[int, ...]],
               num_classes: int | None):
    """Describes the inputs of a model.

    Args:
      pixels: Pixels of its images.
      condition_names: Conditions that the flow takes.
      condition_shapes: Event shapes of those that the flow was built for and
        cannot do without.
      num_classes: Number of classes, where `label` is a condition.
    """
    self._pixels = pixels
    self._names = condition_names
    self._num_classes = num_classes
    self._shapes = dict(condition_shapes)
    if 'label' in condition_names:
      self._shapes['label'] = ()

  def pack(self, data: Any) -> dict[str, Any]:
    """Takes a batch of what `FlowModel.fit` takes apart, unchecked.

    Args:
      data: Images; `(images, labels)` or `(images, {condition: value})`; or
        `{'images': images, condition: value}`.

    Returns:
      inputs: `dict` of `'images'` and the conditions. Labels without a name
        are left out where the flow has no classes.

    Raises:
      ValueError: If examples are weighted, or `'images'` is missing.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
      raise ValueError(
          'The data set yields `sample_weight`, but a FlowModel weighs all '
          'images alike.')
    inputs = dict(x) if isinstance(x, Mapping) else {'images': x}
    if 'images' not in inputs:
      raise ValueError(
          f"A batch is a dict of {sorted(inputs)}, but 'images' is needed.")
    if isinstance(y, Mapping):
      inputs.update(y)
    elif y is not None and 'label' in self._names:
      inputs['label'] = y
    return inputs

  def first_rows(self, batches: Any, count: int) -> dict[str, tf.Tensor]:
    """Packs and checks the first rows of an iterable of batches.

    Args:
      batches: Iterable of what `pack` takes.
      count: Number of rows, at most.

    Returns:
      inputs: `dict` of `'images'` and the conditions.

    Raises:
      ValueError: If there is no image.
    """
    parts, found = [], 0
    for batch in iterable('images', batches):
      parts.append(self.checked(self.pack(batch)))
      found += len(parts[-1]['images'])
      if found >= count:
        break
    if not parts:
      raise ValueError('`images` is an empty data set: an image is needed.')
    return {name: tf.concat([part[name] for part in parts], axis=0)[:count]
            for name in parts[0]}

  def checked(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Checks packed inputs.

    Args:
      inputs: `dict` of `'images'` and the conditions.

    Returns:
      inputs: The same as `Tensor`s: images `[N, H, W, C]`, labels `[N]`, other
        conditions `[N, ...]`.

    Raises:
      TypeError: If a dtype is wrong, or a condition is missing or unknown.
      ValueError: If a shape or a value is wrong.
    """
    images = self.checked_images(inputs['images'])
    conditions = {k: v for k, v in inputs.items() if k != 'images'}
    return {'images': images, **self.checked_conditions(conditions, images)}

  def checked_data(self, x: Any, y: Any = None) -> Any:
    """Packs and checks what `FlowModel.fit` takes, all of it or as it comes.

    Args:
      x: Images, a `dict` of them and conditions, or what yields batches.
      y: Labels or a `dict` of conditions, beside images.

    Returns:
      data: `dict` of arrays; of a `tf.data.Dataset` or a
        `keras.utils.PyDataset`, one of checked batches; of other iterables, a
        generator of them.

    Raises:
      ValueError: If `y` is given beside batches; see also `checked`.
    """
    if not is_batches(x):
      x = array_of('x', x)
      # On the host, since all images need not fit a device.
      with tf.device('CPU:0'):
        inputs = self.checked(self.pack(x if y is None else (x, y)))
      if not tf.executing_eagerly():
        return inputs
      return {name: value.numpy() for name, value in inputs.items()}
    if y is not None:
      raise ValueError(
          '`y` is given beside a data set: let the data set yield '
          '(images, labels) or (images, {name: condition}).')
    if isinstance(x, tf.data.Dataset):
      return x.map(tf.autograph.experimental.do_not_convert(
          lambda *data: self.checked(self.pack(
              data if len(data) > 1 else data[0]))))
    if isinstance(x, keras.utils.PyDataset):
      return x if x.use_multiprocessing else _CheckedPyDataset(x, self)
    if isinstance(x, tf.distribute.DistributedDataset):
      return x
    return ((self.checked(self.pack(batch)),) for batch in iterable('x', x))

  def checked_images(self, images: Any) -> tf.Tensor:
    """Checks images `[N, H, W, C]`; see `checked`."""
    needed = self._pixels.image_dtype
    images = _array('images', images)
    if images.dtype != needed:
      raise TypeError(
          f'`images` has dtype {tf.as_dtype(images.dtype).name}, but '
          f'{needed.name}, 0 .. {needed.max}, is needed.')
    images = tf.convert_to_tensor(images)
    shape = [None, *self._pixels.image_shape]
    if not images.shape.is_compatible_with(shape):
      raise ValueError(
          f'`images` has shape {images.shape}, but {shape} is needed.')
    if images.shape.num_elements() == 0:
      raise ValueError(
          f'`images` is empty, of shape {images.shape}: at least one image '
          'is needed.')
    # What decodes files does not know their shape before it runs.
    return tf.ensure_shape(images, shape, name='images')

  def checked_latents(self, latents: Any) -> tf.Tensor:
    """Checks latents `[N, D]`: their shape, and that they are finite."""
    latents = floats('latents', latents, self._pixels.dtype)
    size = self._pixels.num_dims
    if not latents.shape.is_compatible_with([None, size]):
      raise ValueError(
          f'`latents` has shape {latents.shape}, but [N, {size}] is needed.')
    if latents.shape[0] == 0:
      raise ValueError(
          f'`latents` is empty, of shape {latents.shape}: at least one row is '
          'needed.')
    latents = tf.ensure_shape(latents, [None, size], name='latents')
    return finite('latents', latents)

  def checked_conditions(self, conditions: Mapping[str, Any],
                         rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Checks conditions of as many rows as `rows` has; see `checked`."""
    unknown = sorted(set(conditions) - self._names)
    if unknown:
      takes = ', '.join(f'`{n}`' for n in sorted(self._names))
      raise TypeError(
          f'`{unknown[0]}` is no condition of this model; it takes '
          f'{takes or "none"}.')
    for name, shape in self._shapes.items():
      if conditions.get(name) is None:
        raise TypeError(
            f'This model is class-conditional and needs `{name}`, integers '
            '[N].' if name == 'label' else
            f'This model needs `{name}`, {_dims(shape)}, by its name: '
            f"`{name}=`, or a data set of (images, {{'{name}': ...}}).")
    return {name: self._checked_condition(name, value, rows)
            for name, value in conditions.items() if value is not None}

  def _checked_condition(self, name, value, rows):
    is_list = not hasattr(value, 'dtype')
    value = _array(name, value)
    dtype = tf.as_dtype(value.dtype)
    if name == 'label':
      if not dtype.is_integer:
        raise TypeError(
            f'`label` has dtype {dtype.name}, but integers are needed.')
      value = tf.cast(value, tf.int64)
      if value.shape.rank == 2 and value.shape[1] == 1:
        value = value[:, 0]  # as Keras's own data sets have them
    elif name in _OF_FLOATS:
      if not (dtype.is_floating or is_list):
        raise TypeError(
            f'`{name}` has dtype {dtype.name}, but floats are needed: cast '
            f'and scale it, tf.cast({name}, tf.float32) / 255., say.')
      value = tf.cast(value, self._pixels.dtype)
    else:
      value = tf.convert_to_tensor(value)
    value = self._of_rows(name, value, rows)
    if name == 'label':
      if self._num_classes is not None:
        good = (value >= 0) & (value < self._num_classes)
        value = _where_good(
            value, good, f'`label` must be in 0 .. {self._num_classes - 1}')
      return tf.cast(value, tf.int32)
    if value.dtype.is_floating:
      return finite(name, value)
    return value

  def _of_rows(self, name, value, rows):
    """`value`, if it is one of its shape for each of `rows`."""
    event = self._shapes.get(name)
    count = rows.shape[0]
    if event is None:  # of a layer of the user's own
      fits = value.shape.rank != 0
      needed = '[N, ...]'
    else:
      fits = value.shape.is_compatible_with([None, *event])
      needed = _dims(event)
    known = value.shape[0] if fits and value.shape.rank else None
    if not fits or None not in (known, count) and known != count:
      raise ValueError(
          f'`{name}` has shape {tuple(value.shape)}, but {needed} is needed, '
          f'one for each of N{"" if count is None else f" = {count}"} images.')
    if event is not None:
      value = tf.ensure_shape(value, [None, *event], name=name)
    if known is None or count is None:
      value = _asserted(
          value, tf.equal(tf.shape(value)[0], tf.shape(rows)[0]),
          [f'`{name}` must have one row for each image, but these are rows '
           'and images:', tf.shape(value)[0], tf.shape(rows)[0]])
      value.set_shape([count, *value.shape[1:]] if value.shape.rank else None)
    return value


class _CheckedPyDataset(keras.utils.PyDataset):
  """Packs and checks the batches of a `keras.utils.PyDataset`."""

  def __init__(self, dataset, checks):
    super().__init__(
        workers=dataset.workers, max_queue_size=dataset.max_queue_size)
    self._dataset = dataset
    self._checks = checks

  @property
  def num_batches(self):
    return self._dataset.num_batches

  def __getitem__(self, index):
    return self._checks.checked(self._checks.pack(self._dataset[index]))

  def on_epoch_begin(self):
    self._dataset.on_epoch_begin()

  def on_epoch_end(self):
    self._dataset.on_epoch_end()


def of_rows(arrays: Mapping[str, Any], rows: Any) -> dict[str, tf.Tensor]:
  """Rows of batch-major arrays, by their numbers."""
  return {name: tf.gather(value, rows) for name, value in arrays.items()}


def is_batches(x: Any) -> bool:
  """Whether `x` yields batches, and is no batch itself."""
  return not (hasattr(x, 'dtype') or isinstance(x, (list, tuple, Mapping)))


def array_of(name: str, images: Any) -> Any:
  """A list of images as one array; anything else as it is."""
  return _array(name, images) if isinstance(images, list) else images


def iterable(name: str, values: Any,
             needed: str = 'images or batches of them') -> Iterable[Any]:
  """What can be iterated over, if it can."""
  if isinstance(values, str) or not hasattr(values, '__iter__'):
    raise TypeError(
        f'`{name}` is {_described(values)}, but {needed} are needed.')
  return values


def positive(name: str, count: Any) -> int:
  """A number of things, if it is one."""
  try:
    number = operator.index(count)
  except TypeError:
    number = 0
  if number < 1 or isinstance(count, bool):
    raise ValueError(f'`{name}` must be a positive integer, got {count!r}.')
  return number


def given(**conditions: Any) -> dict[str, Any]:
  """Conditions that are not `None`."""
  return {k: v for k, v in conditions.items() if v is not None}


def floats(name: str, value: Any, dtype: tf.DType) -> tf.Tensor:
  """Numbers as a tensor of a floating point type."""
  value = _array(name, value)
  given_dtype = tf.as_dtype(value.dtype)
  if not (given_dtype.is_floating or given_dtype.is_integer):
    raise TypeError(
        f'`{name}` has dtype {given_dtype.name}, but floats are needed.')
  return tf.cast(value, dtype)


def finite(name: str, value: tf.Tensor) -> tf.Tensor:
  """`value`, if all of it is finite."""
  return _where_good(
      value, tf.math.is_finite(value), f'`{name}` must be finite')


def _array(name, value):
  """`value`, with a dtype that can be asked for."""
  if tf.is_tensor(value):
    return value
  try:
    array = np.asarray(value)
  except ValueError as error:  # rows of several shapes
    raise ValueError(f'`{name}` is no array: {error}') from error
  if array.dtype == object:
    raise TypeError(f'`{name}` is {_described(value)}, but no array.')
  return array


def _described(value):
  """What a user has given, in few words."""
  if value is None:
    return 'None'
  if isinstance(value, np.ndarray):
    return 'an array of Python objects'
  if isinstance(value, list):
    return f'a list of {type(value[0]).__name__}'
  return f'of type {type(value).__name__}'


def _dims(event):
  return f'[{", ".join(["N", *map(str, event)])}]'


def _where_good(value, good, needs):
  """`value`, if `good` is true everywhere."""
  good = tf.reshape(good, [-1])
  if tf.executing_eagerly() and bool(tf.reduce_all(good)):
    return value
  worst = tf.reshape(value, [-1])[tf.argmin(tf.cast(good, tf.int32))]
  if tf.executing_eagerly():
    raise ValueError(f'{needs}, but there is {worst.numpy()}.')
  return _asserted(
      value, tf.reduce_all(good), [f'{needs}, but there is', worst])


def _asserted(value, condition, words):
  if tf.executing_eagerly():
    tf.debugging.Assert(condition, words)
    return value
  with tf.control_dependencies([tf.debugging.Assert(condition, words)]):
    return tf.identity(value)
