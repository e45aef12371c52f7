"""Groups of images: a run's held-out ones, a class, an attribute, a folder."""

import os

import numpy as np
import tensorflow as tf

from training import data
from training import evaluation

_BATCH_SIZE = 100


def open_split(config, split):
  """Opens images of a run's data set.

  Args:
    config: The fields of a recipe.
    split: Python `str`, which images, in TFDS's syntax, or `None`: those that
      the recipe evaluates on.

  Returns:
    images: `data.Data` that has them as the images to evaluate on.
  """
  fields = config.data.copy_and_resolve_references()
  if split is not None:
    fields.eval_split = split
  return data.open(fields, num_bits=config.model.num_bits)


def named(config, name, image_shape, split=None):
  """Batches of a group of images that is named on the command line.

  Args:
    config: The fields of a recipe.
    name: Python `str`: a folder, or else a class of the run's data set, by its
      name or number.
    image_shape: `(H, W, C)` of the run; a folder's images are prepared as the
      recipe says and then brought to it.
    split: Python `str` or `None`: of which images the class is taken; see
      `open_split`. Default value: `None`.

  Returns:
    batches: `tf.data.Dataset` of images, uint8 `[B, H, W, C]`, or of pairs
      with what is known of them, as `data.Data` has them; of a folder, without
      labels.

  Raises:
    ValueError: If there is neither such a folder nor such a class, or if it is
      a folder and the run is class-conditional: nothing says which classes.
  """
  if os.path.isdir(os.path.expanduser(name)):
    if config.model.class_conditional:
      raise ValueError(
          f'{name!r} is a folder, whose images have no labels, but the model '
          'is class-conditional and needs them: name a class of the data set, '
          'or take a run that is not class-conditional.')
    batches = data.open(
        _of_folder(config.data, name, image_shape),
        num_bits=config.model.num_bits).eval_batches(_BATCH_SIZE)
    if isinstance(batches.element_spec, tuple):
      # Folders in it need be no classes of the run's.
      return batches.map(_without_labels)
    return batches
  images = open_split(config, split)
  number = class_number(images, name)
  batches = images.eval_batches(_BATCH_SIZE).unbatch()
  batches = batches.filter(lambda _, known: labels_of(known) == number)
  return batches.batch(_BATCH_SIZE)


def with_attribute(images, name, has_it=True):
  """Batches of the images to evaluate on that have an attribute, or lack it.

  Args:
    images: `data.Data`.
    name: Python `str`, an attribute that is yes or no.
    has_it: Python `bool`. Default value: `True`.

  Returns:
    batches: `tf.data.Dataset` of images, or of images and labels.

  Raises:
    ValueError: If there is no such attribute.
  """
  values = yes_or_no(images, [name])[:, 0]
  batches = tf.data.Dataset.zip(
      images.eval_batches(_BATCH_SIZE).unbatch(),
      tf.data.Dataset.from_tensor_slices(values == has_it))
  batches = batches.filter(lambda _, chosen: chosen)
  return batches.map(lambda example, _: example).batch(_BATCH_SIZE)


def yes_or_no(images, names):
  """Which of the images to evaluate on have which attributes.

  Args:
    images: `data.Data`.
    names: List of Python `str`, attributes that are yes or no.

  Returns:
    values: bool array `[num_eval, len(names)]`.

  Raises:
    ValueError: If one is no attribute, or has other values than yes and no.
  """
  binary = binary_attributes(images)
  for name in names:
    if name not in binary:
      raise ValueError(
          f'{name!r} is no attribute that images have or lack; '
          + (f'such are {", ".join(binary)}.' if binary else
             'the data set has none such.'))
  return np.stack(
      [images.eval_attribute(name) == 1 for name in names], axis=1)


def binary_attributes(images):
  """Names of the attributes that are yes or no."""
  return [name for name, values in images.attributes.items()
          if values == ['no', 'yes']]


def _of_folder(config, name, image_shape):
  """The fields of `data` that bring a folder's images to a run's shape."""
  fields = config.copy_and_resolve_references()
  fields.update(name=f'image_folder:{name}', train_split='all',
                eval_split='all')
  if image_shape[-1] in (1, 3):
    fields.channels = image_shape[-1]
  if fields.crop == 'random' and fields.shorter_side is None:
    # Windows are cut out of the run's images as they are; these may be small.
    fields.crop = None
  if fields.image_size is None:
    fields.image_size = tuple(side - 2 * fields.pad for side in image_shape[:2])
  return fields


def class_number(images, name):
  """The number of a class, from its name or number.

  Args:
    images: `data.Data`.
    name: Python `str`.

  Returns:
    number: Python `int`.

  Raises:
    ValueError: If there is no such class.
  """
  names = images.class_names or []
  if name in names:
    return names.index(name)
  if name.isdigit() and int(name) < len(names):
    return int(name)
  raise ValueError(
      f'{name!r} is neither a folder nor a class of the data set, which has '
      + (f'these classes: {", ".join(names[:20])}'
         f'{" and so on" if len(names) > 20 else ""}.' if names else
         'none.'))


def labels_of(known):
  """The labels, or `None`, of what is known of images: labels, or a `dict`."""
  return known.get('label') if isinstance(known, dict) else known


def _without_labels(images, known):
  if not isinstance(known, dict):
    return images
  return images, {k: v for k, v in known.items() if k != 'label'}


def draw(batches, count, seed=0):
  """Images drawn at random from all of a group, with what is known of them.

  Args:
    batches: `tf.data.Dataset` of batches.
    count: Python `int`, how many at most.
    seed: Python `int`, of the choice and its order. Default value: `0`.

  Returns:
    images: uint8 array `[N, H, W, C]`.
    known: int32 array `[N]` of labels; or a `dict` of arrays, `'feature_map'`
      and labels, if any, as `'label'`; or `None`.

  Raises:
    ValueError: If the group is empty.
  """
  generator = np.random.default_rng(seed)
  drawn = None
  for batch in batches.as_numpy_iterator():
    arrays = batch if isinstance(batch, tuple) else (batch,)
    arrays = (generator.random(len(arrays[0])), *arrays)
    if drawn is not None:
      arrays = tf.nest.map_structure(
          lambda *pair: np.concatenate(pair), drawn, arrays)
    # The images of the smallest numbers are a sample of all seen so far.
    drawn = of_rows(arrays, np.argsort(arrays[0])[:count])
  if drawn is None:
    raise ValueError('There is no image in the group.')
  _, images, *known = drawn
  return images, known[0] if known else None


def of_rows(known, rows):
  """Rows of arrays, or of what is known of images."""
  return tf.nest.map_structure(
      lambda array: None if array is None else array[rows], known)


def conditions(model, known):
  """What a model is to be told of images.

  Args:
    model: `FlowModel`.
    known: Integers `[N]`, a `dict`, or `None`, as `draw` gives it.

  Returns:
    conditions: `dict`, for the model's methods.
  """
  return evaluation.unpack(model, (None, known))[1]
