"""The bijectors that must keep the contract, and how it is measured."""

import collections

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg

tfb = tfp.bijectors

Case = collections.namedtuple('Case', 'make event_shape conditions')


def network(filters, dtype):
  """A small network that is not linear and not zero."""
  return keras.Sequential([
      keras.layers.Conv2D(4, 3, padding='same', activation='tanh',
                          dtype=dtype, kernel_initializer='random_normal'),
      keras.layers.Conv2D(filters, 1, dtype=dtype,
                          kernel_initializer='random_normal'),
  ])


class ConditionedNetwork(tf.Module):
  """A `tf.Module` of kept part and condition."""

  def __init__(self, filters, dtype):
    super().__init__()
    self._conv = tg.networks.GlowNetwork(filters, 3, seed=0, dtype=dtype)
    self._shift = tf.Variable(.1, dtype=dtype)

  def __call__(self, kept, condition):
    return self._conv(kept, condition) + self._shift


def dense(units, dtype):
  return keras.layers.Dense(units, dtype=dtype)


def affine(**kwargs):
  def make(dtype):
    mask = kwargs.get('mask')
    channels = 2 if isinstance(mask, tg.Checkerboard) else 1
    return tg.AffineCoupling(
        network(2 * channels, dtype), dtype=dtype, **kwargs)
  return make


def additive(**kwargs):
  def make(dtype):
    mask = kwargs.get('mask')
    channels = 2 if isinstance(mask, tg.Checkerboard) else 1
    return tg.AdditiveCoupling(
        network(channels, dtype), dtype=dtype, **kwargs)
  return make


def factor_out(dtype, learned=True, **kwargs):
  rest = tfb.Reshape(event_shape_out=(4, 2, 1), event_shape_in=(8,))
  if not learned:
    return tg.FactorOut(rest, dtype=dtype)
  rest = tg.Chain([tg.ActNorm(1, dtype=dtype), rest])
  return tg.FactorOut(rest, network(2, dtype), dtype=dtype, **kwargs)


def top_prior(dtype, num_classes=None):
  class_network = None
  if num_classes:
    class_network = tg.networks.ClassEmbedding(num_classes, 4, dtype=dtype)
  prior_network = tg.networks.ZeroConv2D(4, dtype=dtype)
  return tg.TopPrior(prior_network, class_network, num_classes, dtype=dtype)


def glow(**kwargs):
  return lambda dtype: tg.Glow(
      (4, 4, 2), levels=2, steps=2, width=3, seed=0, dtype=dtype, **kwargs)


LABEL = {'label': np.array([0, 2, 1])}
FEATURE_MAP = {
    'feature_map': np.random.default_rng(1).standard_normal((3, 4, 4, 1))}
CONTEXT = {'context': np.random.default_rng(2).standard_normal((3, 2))}
_IMAGE = (4, 2, 2)

CASES = {
    'actnorm': Case(lambda d: tg.ActNorm(2, dtype=d), _IMAGE, {}),
    'batch_norm': Case(lambda d: tg.BatchNorm(2, dtype=d), _IMAGE, {}),
    'batch_norm_checkerboard': Case(
        lambda d: tg.BatchNorm(2, tg.Checkerboard(), dtype=d), _IMAGE, {}),
    'batch_norm_half': Case(
        lambda d: tg.BatchNorm(1, tg.ChannelHalves('second'), dtype=d),
        _IMAGE, {}),
    'batch_norm_vector': Case(
        lambda d: tg.BatchNorm(4, event_ndims=1, dtype=d), (4,), {}),
    'invertible_conv': Case(
        lambda d: tg.InvertibleConv(3, seed=0, dtype=d), (2, 2, 3), {}),
    'invertible_conv_lu': Case(
        lambda d: tg.InvertibleConvLU(3, seed=0, dtype=d), (2, 2, 3), {}),
    'reverse': Case(
        lambda d: tg.ChannelPermutation.reverse(3, dtype=d), (2, 2, 3), {}),
    'shuffle': Case(
        lambda d: tg.ChannelPermutation.shuffle(5, seed=1, dtype=d),
        (2, 1, 5), {}),
    'squeeze': Case(lambda d: tg.Squeeze(dtype=d), _IMAGE, {}),
    'squeeze_position_major': Case(
        lambda d: tg.Squeeze('position_major', dtype=d), _IMAGE, {}),
    'squeeze_alternating': Case(
        lambda d: tg.Squeeze('alternating', dtype=d), _IMAGE, {}),
    'affine_sigmoid': Case(affine(), _IMAGE, {}),
    'affine_bounded': Case(affine(scale='bounded'), _IMAGE, {}),
    'affine_exp': Case(
        affine(scale='exp', mask=tg.ChannelHalves('second')), _IMAGE, {}),
    'affine_tanh_checkerboard': Case(
        affine(scale='tanh', mask=tg.Checkerboard(), initial_rescale=.5),
        _IMAGE, {}),
    'affine_checkerboard_odd': Case(
        affine(mask=tg.Checkerboard('odd')), _IMAGE, {}),
    'additive': Case(additive(), _IMAGE, {}),
    'additive_checkerboard': Case(
        additive(mask=tg.Checkerboard('odd')), _IMAGE, {}),
    'additive_even_odd': Case(
        lambda d: tg.AdditiveCoupling(
            dense(2, d), tg.EvenOdd('odd'), event_ndims=1, dtype=d),
        (4,), {}),
    'affine_feature_map': Case(
        lambda d: tg.AffineCoupling(ConditionedNetwork(2, d), dtype=d),
        (4, 4, 2), FEATURE_MAP),
    'affine_context': Case(
        lambda d: tg.AffineCoupling(ConditionedNetwork(2, d), dtype=d),
        (4, 4, 2), CONTEXT),
    'scale': Case(lambda d: tg.Scale(4, dtype=d), (4,), {}),
    'factor_out': Case(factor_out, _IMAGE, {}),
    'factor_out_bounded': Case(
        lambda d: factor_out(d, max_log_scale=-.01), _IMAGE, {}),
    'factor_out_standard': Case(
        lambda d: factor_out(d, learned=False), _IMAGE, {}),
    'top_prior': Case(top_prior, _IMAGE, {}),
    'top_prior_fixed': Case(lambda d: tg.TopPrior(dtype=d), _IMAGE, {}),
    'top_prior_classes': Case(
        lambda d: top_prior(d, num_classes=3), _IMAGE, LABEL),
    'chain': Case(
        lambda d: tg.Chain([
            tg.Squeeze(dtype=d), tg.ActNorm(8, dtype=d),
            tg.InvertibleConv(8, seed=0, dtype=d),
            tg.ChannelPermutation.shuffle(8, seed=0, dtype=d),
            tfb.Scale(tf.constant(2., d)),
        ]), _IMAGE, {}),
    'glow': Case(glow(), (4, 4, 2), {}),
    'glow_additive_lu_classes': Case(
        glow(coupling='additive', permutation='lu', num_classes=3),
        (4, 4, 2), LABEL),
    'glow_shuffle_feature_map': Case(
        glow(permutation='shuffle', feature_map_channels=1),
        (4, 4, 2), FEATURE_MAP),
    'glow_reverse_context': Case(
        glow(permutation='reverse', learn_top=False, context_size=2),
        (4, 4, 2), CONTEXT),
}


def make(name, dtype):
  """A bijector whose every trainable variable has moved off its start."""
  keras.utils.set_random_seed(3)
  case = CASES[name]
  bijector = case.make(dtype)
  conditions = conditions_of(name, dtype)
  bijector.inverse(data(name, dtype, [3]), **conditions)  # builds networks
  generator = np.random.default_rng(0)
  for variable in bijector.variables:
    noise = generator.standard_normal(variable.shape)
    if 'running_variance' in variable.name:
      variable.assign(np.exp(noise))
    elif variable.trainable or 'running_mean' in variable.name:
      variable.assign_add(.1 * noise)
  return bijector


def jacobian(map_, value, conditions):
  """Jacobians `[N, D, D]`: of D copies of an event, one gradient each."""
  size = value.shape[1:].num_elements()
  copies = tf.repeat(value, size, axis=0)
  conditions = {k: tf.repeat(v, size, axis=0) for k, v in conditions.items()}
  with tf.GradientTape() as tape:
    tape.watch(copies)
    results = tf.reshape(map_(copies, **conditions), [-1, size, size])
    own = tf.linalg.diag_part(results)
  return tf.reshape(tape.gradient(own, copies), [-1, size, size])


def data(name, dtype, batch_shape):
  """Data of a case, `[*batch_shape, *event_shape]`."""
  shape = [*batch_shape, *CASES[name].event_shape]
  return tf.constant(np.random.default_rng(5).uniform(-.5, .5, shape), dtype)


def conditions_of(name, dtype):
  """Conditions of a case, for a batch of three."""
  return {
      k: tf.constant(v, tf.int32 if k == 'label' else dtype)
      for k, v in CASES[name].conditions.items()}
