"""Every variable is seen exactly once, by TFP and by Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg

tfb = tfp.bijectors
tfd = tfp.distributions


class Module(tf.Module):
  """A `tf.Module` network with two variables of its own."""

  def __init__(self):
    super().__init__()
    self.kernel = tf.Variable(.1 * tf.random.normal([1, 1, 4, 8]))
    self.bias = tf.Variable(tf.zeros([8]))

  def __call__(self, kept):
    return tf.nn.conv2d(kept, self.kernel, 1, 'SAME') + self.bias


def functional():
  inputs = keras.Input((2, 2, 4))
  return keras.Model(inputs, keras.layers.Conv2D(8, 1)(inputs))


NETWORKS = {
    'keras_layer': (lambda: keras.layers.Conv2D(8, 1), 2),
    'keras_sequential': (lambda: keras.Sequential([
        keras.layers.Conv2D(5, 1), keras.layers.Conv2D(8, 1)]), 4),
    'keras_functional': (functional, 2),
    'own_layer': (lambda: tg.networks.GlowNetwork(8, 3, seed=0), 9),
    'tf_module': (Module, 2),
    'function': (lambda: lambda kept: tf.concat([kept, -kept], -1), 0),
}


def make_layers(network):
  return [
      tg.Squeeze(), tg.ActNorm(8), tg.InvertibleConvLU(8, seed=0),
      tg.AffineCoupling(network),
      tfb.Reshape(event_shape_out=(2, 2, 8), event_shape_in=(32,))]


def unique(variables):
  return {id(v) for v in variables}


@pytest.mark.parametrize('kind', sorted(NETWORKS))
def test_tfp_and_keras_see_each_variable_once(kind):
  make, count = NETWORKS[kind]
  layers = make_layers(make())
  flow = tg.Chain(layers)
  model = tg.FlowModel(flow, image_shape=(4, 4, 2))
  # Two of actnorm, five of the convolution (two of them fixed).
  expected = count + 7
  inverted = tfb.Invert(flow)
  plain_chain = tfb.Chain(layers)
  distribution = model.distribution
  for view in (flow, inverted, plain_chain, distribution):
    assert len(view.variables) == expected
    assert len(unique(view.variables)) == expected
    assert len(view.trainable_variables) == expected - 2
  weights = [v for v in model.weights if 'seed' not in v.path]
  assert len(weights) == expected
  assert unique(v.value for v in weights) == unique(flow.variables)
  assert len(model.trainable_weights) == expected - 2


@pytest.mark.parametrize('kind', [
    pytest.param(kind, marks=[] if kind in ('own_layer', 'tf_module') else [
        pytest.mark.slow]) for kind in sorted(NETWORKS)])
def test_fit_moves_every_trainable_variable_and_lowers_the_loss(kind):
  flow = tg.Chain(make_layers(NETWORKS[kind][0]()))
  model = tg.FlowModel(flow, image_shape=(4, 4, 2), seed=0)
  images = np.random.default_rng(0).integers(
      0, 30, (64, 4, 4, 2), dtype=np.uint8)
  model.adapt(images)
  before = [v.numpy() for v in flow.trainable_variables]
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  history = model.fit(
      images, batch_size=32, epochs=15, verbose=0).history['loss']
  assert history[-1] < history[0] - .05
  for old, variable in zip(before, flow.trainable_variables):
    assert np.abs(variable - old).max() > 0., variable.name


def test_a_network_used_twice_is_counted_once():
  network = keras.layers.Conv2D(4, 1)
  flow = tg.Chain([
      tg.AffineCoupling(network),
      tg.AffineCoupling(network, tg.ChannelHalves('second')),
      tfb.Reshape(event_shape_out=(2, 2, 4), event_shape_in=(16,))])
  model = tg.FlowModel(flow, image_shape=(2, 2, 4))
  assert len(flow.trainable_variables) == 2
  assert len(model.trainable_weights) == 2


def test_gradients_reach_every_variable_of_glow_under_tfp_alone():
  flow = tg.Glow((4, 4, 2), levels=2, steps=1, width=3, seed=0,
                 permutation='lu')
  for variable in flow.trainable_variables:
    variable.assign_add(.1 * tf.random.normal(variable.shape))
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), [32]), flow)
  with tf.GradientTape() as tape:
    loss = -tf.reduce_mean(distribution.log_prob(
        tf.random.uniform([5, 4, 4, 2]) - .5))
  gradients = tape.gradient(loss, distribution.trainable_variables)
  for gradient, variable in zip(gradients, distribution.trainable_variables):
    assert gradient is not None, variable.name
    assert np.abs(gradient).max() > 0., variable.name


class TwoInputs(keras.Model):
  """A Keras model of one's own that takes a condition."""

  def __init__(self):
    super().__init__()
    self.conv = keras.layers.Conv2D(2, 1)

  def call(self, kept, condition):
    return self.conv(tf.concat([kept, condition], -1))


def functional_of_two_inputs():
  inputs = [keras.Input((4, 4, 1)), keras.Input((4, 4, 3))]
  joined = keras.layers.Concatenate()(inputs)
  return keras.Model(inputs, keras.layers.Conv2D(2, 1)(joined))


@pytest.mark.parametrize('make', [
    TwoInputs, functional_of_two_inputs,
    lambda: tg.networks.GlowNetwork(2, 3, seed=0),
    lambda: lambda kept, condition: kept + condition[..., :2]])
def test_any_kind_of_network_takes_a_condition(make):
  coupling = tg.AffineCoupling(make())
  y, condition = tf.random.normal([3, 4, 4, 2]), tf.random.normal([3, 4, 4, 3])
  x = coupling.inverse(y, feature_map=condition)
  again = tf.function(coupling.forward)(
      tf.identity(x), feature_map=condition)
  np.testing.assert_allclose(again, y, atol=1e-5)
  for variable in coupling.trainable_variables:
    variable.assign_add(tf.ones_like(variable))
  one = coupling.inverse(tf.identity(y), feature_map=condition)
  other = coupling.inverse(tf.identity(y), feature_map=condition + 1.)
  assert np.abs(one - other).max() > 1e-3
