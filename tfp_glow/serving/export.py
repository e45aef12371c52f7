"""Writes a model the way TensorFlow Serving expects it."""

from collections.abc import Mapping
import contextlib
import os
import pathlib
import tempfile
from typing import Any

from absl import logging
import numpy as np
import tensorflow as tf

from tfp_glow import model as model_lib
from tfp_glow import scores
from tfp_glow.model import inputs as inputs_lib
from tfp_glow.serving import extras
from tfp_glow.serving import signatures as signatures_lib
from tfp_glow.serving import versions


def export_saved_model(
    model: model_lib.FlowModel, directory: str | os.PathLike,
    directions: Mapping[str, Any] | None = None, examples: Any = None,
    typicality: scores.Typicality | None = None) -> str:
  """Writes a model for TensorFlow Serving, under the next version number.

  Signatures, batch-major, every row independent of the others:

  ```none
  serving_default, log_prob   images -> log_prob [N], bits_per_dim [N]
  score                       images -> bits_per_dim [N], typicality [N]
                              (where `typicality` is given)
  encode                      images -> latents [N, D]
  decode                      latents -> images
  sample                      seed int32 [N, 2], temperature [N] -> images
  sample_levels               seed, temperatures [N, L] -> images
  resample_levels             images, levels bool [N, L], seed,
                              temperature [N] -> images
  interpolate                 images_a, images_b, weight [N] -> images
  interpolate_spherical       images_a, images_b, weight [N] -> images
  manipulate                  images, attribute int32 [N], strength [N]
                              -> images     (where `directions` are given)
  manipulate_all              images, strengths [N, A] -> images    (likewise)
  examples                    index int32 [N] -> images, and the conditions
                              of a conditional model
                              (where `examples` are given)
  describe                    row int32 [N], any numbers -> attributes [N, A],
                              image_shape [N, 3], num_bits [N],
                              latent_shapes [N, L, 3], num_classes [N],
                              num_examples [N],
                              tfp_glow_version [N], tensorflow_version [N]
  ```

  Images are uint8 or, of more than 8 bits, uint16 `[N, H, W, C]`. Beside images
  that are computed there is `finite` bool `[N]`: false where the flow gave a
  value that is not finite. Such a row is a checker of magenta (or white) and
  black, which no one takes for a picture; a lower temperature helps. `sample`
  draws from the model's base distribution. A conditional model's signatures,
  less `examples` and `describe`, also take its conditions: `label` int32 `[N]`,
  `feature_map` `[N, H, W, K]` and `context` `[N, K]`. Everything is computed in
  the precision of the weights. What is out of range, not finite or of another
  shape is refused with `InvalidArgumentError`.

  The version appears whole or not at all. Beside the SavedModel there are
  `assets/attributes.txt`, the names of the directions, one a line, and in
  `assets.extra/` a sample `batching_parameters.txt` and, where
  `tensorflow-serving-api` is installed, `tf_serving_warmup_requests`.

  Args:
    model: `FlowModel` without conditions other than classes, feature maps and
      contexts, of a flow that was built for them.
    directory: Path of the folder of all versions.
    directions: `dict` from attribute names to directions `[D]`, numbered in
      their order. Default value: `None`.
    examples: Images `[E, H, W, C]` to go with the model, held-out ones,
      say; of a class-conditional model `(images, labels)`, labels integers
      `[E]`, and of other conditional ones `(images, {condition: values})`.
      Anyone who has the export can read them. Default value: `None`.
    typicality: `Typicality` of the model's training images, by which `score`
      says how far the bits/dim of others are from theirs. Default value:
      `None`.

  Returns:
    path: Python `str`, `directory/<version>`.

  Raises:
    ValueError: If the model has a condition that signatures do not carry, or
      a direction has another size or is not finite, or its name has two lines,
      or examples are no images of the model, or their labels no classes.
    TypeError: If `typicality` is none, or a direction no numbers.
  """
  if not isinstance(model, model_lib.FlowModel):
    raise TypeError(
        f'`model` is {type(model).__name__}, but a `tfp_glow.FlowModel` is '
        'needed.')
  if directions is not None and not isinstance(directions, Mapping):
    raise TypeError(
        f'`directions` is {type(directions).__name__}, but a `dict` from names '
        'to directions is needed.')
  if typicality is not None and not isinstance(typicality, scores.Typicality):
    raise TypeError(
        f'`typicality` is {type(typicality).__name__}, but a '
        '`tfp_glow.Typicality` is needed, `Typicality.fit('
        'model.bits_per_dim(training_images))`.')
  write = _writer(model, dict(directions or {}), examples, typicality,
                  pathlib.Path(directory).name)
  return versions.publish(directory, write)


def write_saved_model(model, path):
  """Writes a SavedModel into a folder of its own, without version numbers.

  Args:
    model: `FlowModel`; see `export_saved_model`.
    path: The folder; a SavedModel that is there is replaced.

  Returns:
    names: List of the names of its signatures.

  Raises:
    ValueError: If the folder has other files, or the model cannot be served;
      see `export_saved_model`.
  """
  path = pathlib.Path(path)
  write = _writer(model, {}, None, None, path.name)
  if path.exists() and any(path.iterdir()) and (
      not (path / 'saved_model.pb').exists()):
    raise ValueError(
        f'{path} has files that are no SavedModel: name another folder.')
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
    new = pathlib.Path(scratch) / 'new'
    new.mkdir()
    names = write(new)
    if path.exists():
      path.rename(pathlib.Path(scratch) / 'old')
    new.rename(path)
  return names


def _writer(model, directions, examples, typicality, name):
  """A function that writes a SavedModel and its extras into a folder."""
  shapes = getattr(model.flow, 'condition_shapes', {})
  surplus = sorted(model.condition_names - {'label', *shapes})
  if surplus:
    raise ValueError(
        f'`model` is conditioned by `{surplus[0]}`, which no signature '
        'carries: classes can be served, and `feature_map` and `context` of a '
        'flow that says their shapes, `Glow(..., feature_map_channels=3)`, '
        'say.')
  _check_directions(model, directions)
  signatures = signatures_lib.Signatures(
      model, directions, _checked_examples(model, examples), typicality)
  module = tf.Module()

  def write(path):
    functions = signatures.concrete_functions()
    module.served_variables = list({
        variable.ref(): variable for function in functions.values()
        for variable in function.variables}.values())
    with tempfile.TemporaryDirectory() as scratch:
      if directions:
        names = pathlib.Path(scratch) / 'attributes.txt'
        names.write_text('\n'.join(directions) + '\n', encoding='utf-8')
        module.attributes = tf.saved_model.Asset(os.fspath(names))
      with _without_renaming_messages():
        tf.saved_model.save(
            module, os.fspath(path), functions,
            tf.saved_model.SaveOptions(experimental_custom_gradients=False))
    extras.write(path, signatures, name)
    return list(functions)

  return write


def _check_directions(model, directions):
  for name, direction in directions.items():
    if not isinstance(name, str) or len(name.splitlines()) != 1:
      raise ValueError(
          f'`directions` has the name {name!r}, but one line is needed.')
    label = f'directions[{name!r}]'
    direction = inputs_lib.finite(label, inputs_lib.floats(
        label, direction, model.compute_dtype))
    if tuple(direction.shape) != (model.num_dims,):
      raise ValueError(
          f'`{label}` has shape {tuple(direction.shape)}, but '
          f'{(model.num_dims,)} is needed.')


def _checked_examples(model, examples):
  """`dict` of arrays, by the names of their outputs."""
  if examples is None:
    return {}
  images, known = examples if isinstance(examples, tuple) else (examples, None)
  if known is not None and not model.condition_names:
    raise ValueError(
        '`examples` has labels, but `model` is not class-conditional.')
  try:
    checked = model.checked(images if known is None else (images, known))
  except (TypeError, ValueError) as error:
    raise ValueError(f'`examples`: {error}') from error
  arrays = {name: value.numpy() for name, value in checked.items()}
  if 'label' in arrays:
    arrays['label'] = arrays['label'].astype(np.int32)
  return arrays


@contextlib.contextmanager
def _without_renaming_messages():
  """Leaves out a line of all weights that TensorFlow writes at INFO.

  It tells that inputs are renamed; those are the weights, which have no name
  as inputs, and no caller sees them.
  """

  def is_other(record):
    return 'unsupported characters' not in str(record.msg)

  logger = logging.get_absl_logger()
  logger.addFilter(is_other)
  try:
    yield
  finally:
    logger.removeFilter(is_other)
