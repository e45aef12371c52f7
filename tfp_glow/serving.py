"""SavedModels that anyone can run."""

import os
import re
import shutil
import tempfile

import tensorflow as tf


def export_saved_model(model, directory, directions=None):
  """Writes a model for TensorFlow Serving, under the next version number.

  Signatures, batch-major, every row independent of the others:

  ```none
  serving_default, log_prob   images -> log_prob [N], bits_per_dim [N]
  encode                      images -> latents [N, D]
  decode                      latents -> images
  sample                      seed int32 [N, 2], temperature [N] -> images
  interpolate                 images_a, images_b, weight [N] -> images
  manipulate                  images, attribute int32 [N], strength [N]
                              -> images     (where `directions` are given)
  ```

  Images are uint8 `[N, H, W, C]`. A class-conditional model's signatures also
  take `label` int32 `[N]`. Everything is computed in the precision of the
  weights. The version appears whole or not at all.

  Args:
    model: `FlowModel` without conditions other than classes.
    directory: Python `str`, the folder of all versions.
    directions: `dict` from attribute names to directions `[D]`, numbered in
      their order. Default value: `None`.

  Returns:
    path: Python `str`, `directory/<version>`.

  Raises:
    ValueError: If the model has a condition that signatures do not carry, or
      a direction has another size.
  """
  surplus = sorted(model.condition_names - {'label'})
  if surplus:
    raise ValueError(
        f'`model` is conditioned by `{surplus[0]}`, which no signature '
        'carries: only classes can be served.')
  module = _Served(model, directions or {})
  directory = os.fspath(directory)
  os.makedirs(directory, exist_ok=True)
  versions = [int(name) for name in os.listdir(directory)
              if re.fullmatch(r'\d+', name)]
  path = os.path.join(directory, str(1 + max(versions, default=0)))
  # A server that polls the folder takes numbers only, and never half of one.
  temporary = tempfile.mkdtemp(prefix='.export-', dir=directory)
  try:
    tf.saved_model.save(module, temporary, signatures=module.signatures())
    os.chmod(temporary, 0o755)
    os.rename(temporary, path)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return path


class _Served(tf.Module):
  """The functions of a model that are served, and its variables."""

  def __init__(self, model, directions):
    super().__init__()
    self._model = model
    self._has_label = 'label' in model.condition_names
    self._dtype = tf.as_dtype(model.compute_dtype)
    self.weights = list(model.distribution.variables)
    self._names = list(directions)
    self._directions = None
    if directions:
      for name, direction in directions.items():
        if tuple(direction.shape) != (model.num_dims,):
          raise ValueError(
              f'`directions[{name!r}]` has shape {tuple(direction.shape)}, '
              f'but {(model.num_dims,)} is needed.')
      self._directions = tf.Variable(
          tf.stack([tf.cast(d, self._dtype) for d in directions.values()]),
          trainable=False, name='directions')

  def signatures(self):
    """The concrete functions, by name."""
    images = {'images': self._image_spec('images')}
    latents = {'latents': tf.TensorSpec(
        [None, self._model.num_dims], self._dtype, 'latents')}

    def row(name, dtype=self._dtype):
      return {name: tf.TensorSpec([None], dtype, name)}

    log_prob = self._function(self.log_prob, images)
    signatures = {
        'serving_default': log_prob,
        'log_prob': log_prob,
        'encode': self._function(self.encode, images),
        'decode': self._function(self.decode, latents),
        'sample': self._function(self.sample, {
            'seed': tf.TensorSpec([None, 2], tf.int32, 'seed'),
            **row('temperature')}),
        'interpolate': self._function(self.interpolate, {
            'images_a': self._image_spec('images_a'),
            'images_b': self._image_spec('images_b'),
            **row('weight')}),
    }
    if self._directions is not None:
      signatures['manipulate'] = self._function(self.manipulate, {
          **images, **row('attribute', tf.int32), **row('strength')})
    return signatures

  def log_prob(self, images, **conditions):
    log_prob = self._model._log_prob(images, conditions)  # pylint: disable=protected-access
    return {'log_prob': log_prob, 'bits_per_dim': self._model._bits(log_prob)}  # pylint: disable=protected-access

  def encode(self, images, **conditions):
    return {'latents': self._model._encode(images, conditions)}  # pylint: disable=protected-access

  def decode(self, latents, **conditions):
    latents = _checked(
        latents, tf.math.is_finite(latents), '`latents` must be finite')
    return {'images': self._model._decode(latents, conditions)}  # pylint: disable=protected-access

  def sample(self, seed, temperature, **conditions):
    temperature = _checked(
        temperature, tf.math.is_finite(temperature) & (temperature >= 0.),
        '`temperature` must be finite and not negative')
    # Each row from its own seed, whatever it is batched with.
    noise = tf.map_fn(
        lambda s: tf.random.stateless_normal(
            [self._model.num_dims], s, dtype=self._dtype, alg='philox'),
        seed, fn_output_signature=self._dtype)
    noise = tf.ensure_shape(noise, [None, self._model.num_dims])
    return self.decode(noise * temperature[:, None], **conditions)

  def interpolate(self, images_a, images_b, weight, **conditions):
    weight = _checked(
        weight, tf.math.is_finite(weight), '`weight` must be finite')
    a = self.encode(images_a, **conditions)['latents']
    b = self.encode(images_b, **conditions)['latents']
    return self.decode(a + weight[:, None] * (b - a), **conditions)

  def manipulate(self, images, attribute, strength, **conditions):
    count = len(self._names)
    attribute = _checked(
        attribute, (attribute >= 0) & (attribute < count),
        f'`attribute` must be in 0 .. {count - 1}')
    strength = _checked(
        strength, tf.math.is_finite(strength), '`strength` must be finite')
    latents = self.encode(images, **conditions)['latents']
    directions = tf.gather(self._directions, attribute)
    return self.decode(latents + strength[:, None] * directions, **conditions)

  def _image_spec(self, name):
    return tf.TensorSpec([None, *self._model.image_shape], tf.uint8, name)

  def _function(self, method, specs):
    """A concrete function of keyword arguments, labels included."""
    if self._has_label:
      specs = {**specs, 'label': tf.TensorSpec([None], tf.int32, 'label')}

    @tf.function(autograph=False)
    def function(**inputs):
      if self._has_label:
        classes = self._model.flow.num_classes
        label = inputs['label']
        inputs['label'] = _checked(
            label, (label >= 0) & (label < classes),
            f'`label` must be in 0 .. {classes - 1}')
      return method(**inputs)

    return function.get_concrete_function(**specs)


def _checked(value, condition, message):
  """`value`, once `condition` has been seen to hold for every row."""
  check = tf.debugging.Assert(tf.reduce_all(condition), [message])
  with tf.control_dependencies([check]):
    return tf.identity(value)
