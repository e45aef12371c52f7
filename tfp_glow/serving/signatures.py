"""Served functions of a model, of batches, row by row."""

import collections.abc
import dataclasses
import math

import tensorflow as tf

from tfp_glow import execution
from tfp_glow import latent
from tfp_glow import version
from tfp_glow.model import base as base_lib

# The inputs of each signature; conditional models take their conditions too.
INPUTS = {
    'log_prob': ['images'],
    'score': ['images'],
    'encode': ['images'],
    'decode': ['latents'],
    'sample': ['seed', 'temperature'],
    'sample_levels': ['seed', 'temperatures'],
    'resample_levels': ['images', 'levels', 'seed', 'temperature'],
    'interpolate': ['images_a', 'images_b', 'weight'],
    'interpolate_spherical': ['images_a', 'images_b', 'weight'],
    'manipulate': ['images', 'attribute', 'strength'],
    'manipulate_all': ['images', 'strengths'],
    'examples': ['index'],
    'describe': ['row'],
}
CONDITIONS = ('label', 'feature_map', 'context')
# What takes none, and what is there only with directions or examples.
_WITHOUT_CONDITIONS = ('examples', 'describe')
_OF_DIRECTIONS = ('manipulate', 'manipulate_all')


@dataclasses.dataclass(frozen=True)
class _Input:
  """An input's form, and which of its values are refused."""

  shape: tuple[int, ...]  # of a row
  dtype: tf.DType
  is_good: collections.abc.Callable[[tf.Tensor], tf.Tensor] | None = None
  needs: str = ''

  def spec(self, name):
    return tf.TensorSpec([None, *self.shape], self.dtype, name)


class Signatures:
  """The served functions of a model.

  Flow and inverse are traced once each; every signature calls them, and reads
  kernels, matrices and inverses as they were made of weights, once. Methods
  have the names of the signatures that they are, and take their inputs once
  these have been checked.
  """

  def __init__(self, model, directions, examples=None, typicality=None):
    """Makes the functions; `concrete_functions` traces them.

    Args:
      model: `FlowModel`, without conditions other than `CONDITIONS`.
      directions: `dict` from attribute names to directions `[D]`.
      examples: `dict` of `images` uint8 `[E, H, W, C]` and the model's
        conditions, `[E, ...]`. Default value: `None`.
      typicality: `scores.Typicality` of the training images. Default value:
        `None`.
    """
    self._model = model
    self._typicality = typicality
    # Asked here, since in a graph it is not known whether a mean is finite.
    self._has_mean = base_lib.mean(model.base) is not None
    self._latent_shapes = getattr(
        model.flow, 'latent_shapes', [(model.num_dims,)])
    self._examples = {
        name: tf.Variable(value, trainable=False, name=f'example_{name}')
        for name, value in (examples or {}).items()}
    self._attributes = list(directions)
    self._prepared = execution.PreparedWeights()
    self._directions = None
    dtype = tf.as_dtype(model.compute_dtype)
    if directions:
      self._directions = tf.Variable(
          tf.stack([tf.cast(d, dtype) for d in directions.values()]),
          trainable=False, name='directions')
    self._conditions = [
        name for name in CONDITIONS if name in model.condition_names]
    self._num_classes = None
    if 'label' in self._conditions:
      self._num_classes = model.num_classes
    self._inputs = self._all_inputs(dtype)
    conditions = [self._inputs[name].spec(name) for name in self._conditions]
    self._inverse = tf.function(
        self._traced_inverse, autograph=False, input_signature=[
            tf.TensorSpec([None, *model.image_shape], dtype), *conditions])
    self._forward = tf.function(
        self._traced_forward, autograph=False, input_signature=[
            tf.TensorSpec([None, model.num_dims], dtype), *conditions])

  @property
  def names(self):
    """The signatures that this model has, less `serving_default`."""
    return [
        name for name in INPUTS
        if (name not in _OF_DIRECTIONS or self._directions is not None)
        and (name != 'examples' or self._examples)
        and (name != 'score' or self._typicality is not None)]

  def input_specs(self, name):
    """`dict` of the `tf.TensorSpec` of a signature's inputs."""
    inputs = list(INPUTS[name])
    if name not in _WITHOUT_CONDITIONS:
      inputs += self._conditions
    return {i: self._inputs[i].spec(i) for i in inputs}

  def concrete_functions(self):
    """`dict` from names to concrete functions, `serving_default` included."""
    # Weights are prepared now: a graph in which that happened would be traced
    # twice.
    for traced in (self._inverse, self._forward):
      traced.python_function(*(
          tf.zeros([1, *spec.shape[1:]], spec.dtype)
          for spec in traced.input_signature))
    functions = {name: self._function(name) for name in self.names}
    return {'serving_default': functions['log_prob'], **functions}

  def log_prob(self, images, **conditions):
    """Densities with noise that is always the same, so that they repeat."""
    pixels = self._model.pixels
    dequantised = pixels.dequantise(images, pixels.fixed_noise())
    _, log_prob = self._inverse(dequantised, *self._in_order(conditions))
    return {'log_prob': log_prob, 'bits_per_dim': pixels.bits_per_dim(log_prob)}

  def score(self, images, **conditions):
    """How unusual images are."""
    bits_per_dim = self.log_prob(images, **conditions)['bits_per_dim']
    return {'bits_per_dim': bits_per_dim,
            'typicality': self._typicality.distance(bits_per_dim)}

  def encode(self, images, **conditions):
    """Latents of images, each pixel in the middle of its bin."""
    middle = self._model.pixels.middle(images)
    return {'latents': self._inverse(middle, *self._in_order(conditions))[0]}

  def decode(self, latents, **conditions):
    """Images of latents."""
    dequantised = self._forward(latents, *self._in_order(conditions))
    pixels = self._model.pixels
    return {'images': pixels.quantise(dequantised),
            'finite': pixels.are_finite(dequantised)}

  def sample(self, seed, temperature, **conditions):
    """New images, each row from its own seed, whatever it is batched with."""
    return self._decode_finite(
        self._drawn(seed, temperature[:, None]), conditions)

  def sample_levels(self, seed, temperatures, **conditions):
    """New images with a temperature for each level."""
    return self._decode_finite(
        self._drawn(seed, self._for_each_value(temperatures)), conditions)

  def resample_levels(self, images, levels, seed, temperature, **conditions):
    """Images with the latents of some levels drawn anew."""
    latents = self.encode(images, **conditions)['latents']
    return self._decode_finite(tf.where(
        self._for_each_value(levels),
        self._drawn(seed, temperature[:, None]), latents), conditions)

  def interpolate(self, images_a, images_b, weight, **conditions):
    """Images on the straight lines between latents; at 0 they are the first."""
    return self._between(
        latent.linear, images_a, images_b, weight, conditions)

  def interpolate_spherical(self, images_a, images_b, weight, **conditions):
    """Images on the arcs between latents; at 0 they are the first."""
    return self._between(
        latent.spherical, images_a, images_b, weight, conditions)

  def manipulate(self, images, attribute, strength, **conditions):
    """Images moved along directions, named by their numbers."""
    latents = self.encode(images, **conditions)['latents']
    directions = tf.gather(self._directions, attribute)
    return self._decode_finite(
        latents + strength[:, None] * directions, conditions)

  def manipulate_all(self, images, strengths, **conditions):
    """Images moved along all directions at once."""
    latents = self.encode(images, **conditions)['latents']
    return self._decode_finite(
        latents + tf.linalg.matmul(strengths, self._directions), conditions)

  def examples(self, index):
    """Images that came with the model, by their numbers."""
    return {name: tf.gather(value, index)
            for name, value in self._examples.items()}

  def describe(self, row):
    """What a client may want to know, the same in every row.

    It takes rows since REST and batching ask for an input that has them.
    """
    facts = {
        'attributes': tf.constant(self._attributes, tf.string),
        'image_shape': tf.constant(self._model.image_shape),
        'num_bits': tf.constant(self._model.num_bits),
        'latent_shapes': tf.constant(self._latent_shapes),
        'num_classes': tf.constant(self._num_classes or 0),
        'num_examples': tf.constant(self._num_examples),
        'tfp_glow_version': tf.constant(version.__version__),
        'tensorflow_version': tf.constant(tf.__version__),
    }
    return {name: tf.tile(fact[None], [tf.size(row)] + [1] * fact.shape.rank)
            for name, fact in facts.items()}

  def _traced_inverse(self, dequantised, *conditions):
    return self._model.latents_and_log_prob(
        dequantised, self._context(conditions))

  def _traced_forward(self, latents, *conditions):
    return self._model.dequantised(latents, self._context(conditions))

  def _context(self, conditions):
    return execution.Context(
        prepared=self._prepared,
        conditions=dict(zip(self._conditions, conditions)))

  def _in_order(self, conditions):
    """The conditions as the traced functions take them."""
    return [conditions[name] for name in self._conditions]

  @property
  def _num_examples(self):
    return self._examples['images'].shape[0] if self._examples else 0

  def _drawn(self, seed, temperature):
    """Samples of the base, `[N, D]`, each row from its own seed."""
    base = self._model.base
    latents = tf.map_fn(
        lambda s: base.sample(seed=s), seed,
        fn_output_signature=tf.TensorSpec(
            [self._model.num_dims], temperature.dtype))
    if not self._has_mean:
      return latents
    return base_lib.tempered(base, latents, temperature)

  def _for_each_value(self, by_level):
    """`[N, D]` of what is given for each level, `[N, L]`."""
    return tf.repeat(
        by_level, [math.prod(shape) for shape in self._latent_shapes], axis=1)

  def _between(self, between, images_a, images_b, weight, conditions):
    # In one batch: each call of the flow makes a graph larger.
    twice = {name: tf.concat([value, value], axis=0)
             for name, value in conditions.items()}
    images = tf.concat([images_a, images_b], axis=0)
    a, b = tf.split(self.encode(images, **twice)['latents'], 2)
    return self._decode_finite(between(a, b, weight[:, None]), conditions)

  def _decode_finite(self, latents, conditions):
    # Finite inputs can still be large enough to overflow.
    finite = self._inputs['latents']
    return self.decode(
        _checked('the latents', latents, finite.is_good, finite.needs),
        **conditions)

  def _all_inputs(self, dtype):
    """Every input that a signature may take, by name."""
    image = _Input(self._model.image_shape, self._model.pixels.image_dtype)
    number = _Input((), dtype, tf.math.is_finite, 'finite')
    temperature = _Input((), dtype, *_temperatures(self._has_mean))
    num_levels = len(self._latent_shapes)
    inputs = {
        'images': image,
        'images_a': image,
        'images_b': image,
        'latents': _Input(
            (self._model.num_dims,), dtype, tf.math.is_finite, 'finite'),
        'seed': _Input((2,), tf.int32),
        'temperature': temperature,
        'temperatures': dataclasses.replace(temperature, shape=(num_levels,)),
        'levels': _Input((num_levels,), tf.bool),
        'weight': number,
        'strength': number,
        'strengths': dataclasses.replace(
            number, shape=(len(self._attributes),)),
        'attribute': _number_below(len(self._attributes)),
        'index': _number_below(self._num_examples),
        'row': _Input((), tf.int32),
    }
    for name in self._conditions:
      inputs[name] = (
          _number_below(self._num_classes) if name == 'label' else
          dataclasses.replace(number, shape=tuple(
              self._model.flow.condition_shapes[name])))
    return inputs

  def _function(self, name):
    """A concrete function of keyword arguments, which it checks."""
    specs = self.input_specs(name)

    @tf.function(autograph=False)
    def function(**inputs):
      # Loaders in C++ feed whatever shape they are given.
      inputs = {i: tf.ensure_shape(value, specs[i].shape, name=i)
                for i, value in inputs.items()}
      inputs = _checked_rows(inputs)
      inputs = {
          i: _checked(f'`{i}`', value, self._inputs[i].is_good,
                      self._inputs[i].needs)
          for i, value in inputs.items()}
      return getattr(self, name)(**inputs)

    return function.get_concrete_function(**specs)


def _temperatures(has_mean):
  """Temperatures that are good, and what they need to be."""
  if not has_mean:
    return lambda t: t == 1., '1: the base distribution has no mean'
  return (lambda t: tf.math.is_finite(t) & (t >= 0.),
          'finite and not negative')


def _number_below(count):
  return _Input((), tf.int32, lambda n: (n >= 0) & (n < count),
                f'in 0 .. {count - 1}')


def _checked(name, value, is_good, needs):
  """`value`, once every row of it has been seen to be good.

  Once, because what is computed from a bad label may raise another error.
  """
  if is_good is None:
    return value
  good = is_good(value)
  good = tf.reduce_all(good, axis=list(range(1, good.shape.rank)))
  check = tf.debugging.Assert(
      tf.reduce_all(good),
      [f'{name} must be {needs}, but not so in these rows:',
       tf.where(~good)[:, 0]])
  with tf.control_dependencies([check]):
    return tf.identity(value)


def _checked_rows(inputs):
  """`inputs`, once they have been seen to have as many rows each."""
  counts = tf.stack([tf.shape(value)[0] for value in inputs.values()])
  names = ', '.join(f'`{name}`' for name in inputs)
  check = tf.debugging.Assert(
      tf.reduce_all((counts == counts[0]) & (counts > 0)),
      [f'{names} must have as many rows each, at least one, but have:',
       counts])
  with tf.control_dependencies([check]):
    return {name: tf.identity(value) for name, value in inputs.items()}
