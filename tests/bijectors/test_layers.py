"""What each layer does, against its formula in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tfp_glow import execution


def normal(*shape):
  return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_actnorm_takes_its_values_from_the_batch_it_is_given():
  actnorm = tg.ActNorm(3)
  y = 3. * normal(5, 4, 4, 3) + 1.
  x = actnorm.initialize(y).numpy()
  np.testing.assert_allclose(
      actnorm.shift, -y.mean((0, 1, 2)), rtol=1e-5)
  np.testing.assert_allclose(
      actnorm.log_scale, np.log(1. / (y.std((0, 1, 2)) + 1e-6)) / 3.,
      rtol=1e-4)
  np.testing.assert_allclose(x, actnorm.inverse(y), atol=1e-6)
  np.testing.assert_allclose(x.mean((0, 1, 2)), 0., atol=1e-5)
  np.testing.assert_allclose(x.std((0, 1, 2)), 1., atol=1e-4)


def test_actnorm_can_be_initialised_again_and_never_is_by_accident():
  actnorm = tg.ActNorm(2)
  assert not actnorm.initialized
  for call in (actnorm.inverse, actnorm.forward):
    call(normal(3, 2, 2, 2))
  assert not actnorm.initialized
  actnorm.initialize(normal(3, 2, 2, 2))
  assert actnorm.initialized
  first = actnorm.shift.numpy()
  actnorm.inverse(7. + normal(3, 2, 2, 2))
  np.testing.assert_array_equal(actnorm.shift, first)
  actnorm.initialize(7. + normal(3, 2, 2, 2))
  np.testing.assert_allclose(actnorm.shift, first - 7., rtol=1e-5)


def test_data_initialises_every_layer_of_a_chain_from_what_reaches_it():
  network = tg.networks.GlowNetwork(4, width=5, seed=0)
  chain = tg.Chain([
      tg.ActNorm(4), tg.InvertibleConv(4, seed=0), tg.AffineCoupling(network),
      tg.ActNorm(4)])
  y = 2. * normal(6, 4, 4, 4) - 1.
  x = chain.initialize(y)
  np.testing.assert_allclose(np.mean(x, (0, 1, 2)), 0., atol=1e-5)
  np.testing.assert_allclose(np.std(x, (0, 1, 2)), 1., atol=1e-4)
  hidden = network.conv_1(chain.bijectors[1].inverse(
      chain.bijectors[0].inverse(y))[..., :2])
  np.testing.assert_allclose(np.std(hidden, (0, 1, 2)), 1., atol=1e-3)
  np.testing.assert_allclose(x, chain.inverse(y), atol=1e-5)


def test_invertible_conv_starts_from_a_rotation_and_lu_form_is_the_same_map():
  plain, lu = tg.InvertibleConv(6, seed=3), tg.InvertibleConvLU(6, seed=3)
  kernel = plain.kernel.numpy()
  np.testing.assert_allclose(kernel @ kernel.T, np.eye(6), atol=1e-6)
  y = normal(2, 3, 3, 6)
  np.testing.assert_allclose(plain.inverse(y), lu.inverse(y), atol=1e-5)
  np.testing.assert_allclose(
      plain.inverse(y), np.einsum('bhwc,cd->bhwd', y, kernel), atol=1e-5)
  other = tg.InvertibleConv(6, seed=4).kernel
  assert np.abs(other - kernel).max() > .1


def test_lu_form_learns_no_more_than_the_triangles():
  conv = tg.InvertibleConvLU(4, seed=0)
  y = normal(2, 3, 3, 4)
  x = conv.inverse(tf.identity(y))
  # The other triangles and the diagonal of L are masked out.
  conv.lower.assign_add(np.triu(np.ones([4, 4], np.float32)))
  conv.upper.assign_add(np.tril(np.ones([4, 4], np.float32)))
  np.testing.assert_array_equal(conv.inverse(tf.identity(y)), x)
  names = {v.name.split(':')[0].split('/')[-1] for v in
           conv.trainable_variables}
  assert names == {'lower', 'upper', 'log_s'}


def test_log_abs_det_has_the_gradient_of_the_formula():
  kernel = tf.constant(normal(5, 5), tf.float64)
  with tf.GradientTape() as tape:
    tape.watch(kernel)
    log_det = tg.bijectors.invertible_conv.log_abs_det(kernel)
  np.testing.assert_allclose(
      log_det, np.linalg.slogdet(kernel)[1], rtol=1e-10)
  np.testing.assert_allclose(
      tape.gradient(log_det, kernel), np.linalg.inv(kernel).T, rtol=1e-8)


def test_permutations_reorder_the_channels():
  y = normal(2, 2, 2, 5)
  np.testing.assert_array_equal(
      tg.ChannelPermutation.reverse(5).inverse(y), y[..., ::-1])
  shuffle = tg.ChannelPermutation.shuffle(5, seed=0)
  np.testing.assert_array_equal(
      shuffle.inverse(y), y[..., shuffle.order.numpy()])
  assert not np.array_equal(shuffle.order, np.arange(5))
  assert not shuffle.trainable_variables


@pytest.mark.parametrize('mask,kept', [
    (tg.ChannelHalves('first'), np.s_[..., :2]),
    (tg.ChannelHalves('second'), np.s_[..., 2:]),
    (tg.EvenOdd('even'), np.s_[..., 0::2]),
    (tg.EvenOdd('odd'), np.s_[..., 1::2]),
    (tg.Checkerboard('even'), np.s_[:, [0, 1], [0, 1]]),
    (tg.Checkerboard('odd'), np.s_[:, [0, 1], [1, 0]]),
])
def test_a_coupling_changes_all_but_what_its_mask_keeps(mask, kept):
  channels = 4 if isinstance(mask, tg.Checkerboard) else 2
  conv = keras.layers.Conv2D(
      2 * channels, 3, padding='same', bias_initializer='ones')
  seen = []

  def network(kept):
    seen.append(kept)
    return conv(kept)

  coupling = tg.AffineCoupling(network, mask)
  y = normal(3, 2, 2, 4)
  x = coupling.inverse(y).numpy()
  np.testing.assert_array_equal(x[kept], y[kept])
  changed = np.ones_like(y, bool)
  changed[kept] = False
  assert np.abs(x - y)[changed].min() > 1e-4
  # What is changed does not condition: its own values move alone.
  bumped = y.copy()
  bumped[changed] += 1.
  coupling.inverse(bumped)
  np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize('scale,formula', [
    ('sigmoid', lambda h: 1. / (1. + np.exp(-h - 2.))),
    ('bounded', lambda h: 2. ** np.tanh(h)),
    ('exp', np.exp),
    ('tanh', lambda h: np.exp(.7 * np.tanh(h))),
])
def test_scales_are_what_they_are_called(scale, formula):
  parameters = normal(2, 1, 1, 4)
  coupling = tg.AffineCoupling(
      lambda kept: tf.constant(parameters), scale=scale, initial_rescale=.7)
  y = normal(2, 1, 1, 4)
  x, log_det = coupling.inverse_and_log_det(y)
  factor = formula(parameters[..., 2:])
  np.testing.assert_allclose(
      x[..., 2:], (y[..., 2:] + parameters[..., :2]) * factor, rtol=1e-5)
  np.testing.assert_allclose(
      log_det, np.log(factor).sum((1, 2, 3)), rtol=1e-4)


def test_batch_norm_of_a_batch_and_of_running_averages():
  norm = tg.BatchNorm(2)
  y = 3. + 2. * normal(5, 4, 4, 2)
  mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
  x, log_det = norm.inverse_and_log_det(y, training=True)
  np.testing.assert_allclose(
      x, (y - mean) / np.sqrt(variance + 1e-4), atol=1e-4)
  np.testing.assert_allclose(
      log_det, np.full(5, -8. * np.log(variance + 1e-4).sum()), rtol=1e-4)
  # Outside of `fit` nothing has moved; there, by a tenth.
  np.testing.assert_array_equal(norm.running.mean, [0., 0.])
  updates = execution.Updates()
  norm.evaluate(y, True, execution.Context(training=True, updates=updates))
  norm.evaluate(y, True, execution.Context(updates=updates))
  updates.apply_where(False)
  np.testing.assert_array_equal(norm.running.mean, [0., 0.])
  updates.apply_where(True)
  np.testing.assert_allclose(norm.running.mean, .1 * mean, rtol=1e-5)
  np.testing.assert_allclose(
      norm.running.variance, .9 + .1 * variance, rtol=1e-5)
  x = norm.inverse(tf.identity(y))
  np.testing.assert_allclose(
      x, (y - .1 * mean) / np.sqrt(.9 + .1 * variance + 1e-4), atol=1e-4)


def test_batch_norm_counts_what_a_checkerboard_keeps_as_zeros():
  norm = tg.BatchNorm(1, tg.Checkerboard('even'))
  y = 1. + normal(3, 2, 2, 1)
  x, log_det = norm.inverse_and_log_det(y, training=True)
  odd = np.array([[0., 1.], [1., 0.]], np.float32)[..., None]
  mean, variance = (y * odd).mean(), (y * odd).var()
  np.testing.assert_allclose(
      x, y * (1. - odd) + odd * (y - mean) / np.sqrt(variance + 1e-4),
      atol=1e-5)
  np.testing.assert_allclose(
      log_det, np.full(3, -np.log(variance + 1e-4)), rtol=1e-4)


def test_factor_out_standardises_what_leaves_by_what_stays():
  rest = _reshape((2, 2, 1))
  kernel = normal(1, 2)
  layer = tg.FactorOut(rest, lambda stay: stay @ kernel)
  y = normal(3, 2, 2, 2)
  x, log_det = layer.inverse_and_log_det(y)
  stay, leave = y[..., :1], y[..., 1:]
  mean, log_scale = stay * kernel[0, 0], stay * kernel[0, 1]
  eps = (leave - mean) * np.exp(-log_scale)
  np.testing.assert_allclose(x[:, :4], eps.reshape(3, 4), rtol=1e-5)
  np.testing.assert_array_equal(x[:, 4:], stay.reshape(3, 4))
  np.testing.assert_allclose(log_det, -log_scale.sum((1, 2, 3)), rtol=1e-4)


def test_top_prior_depends_on_the_class():
  embedding = tg.networks.ClassEmbedding(3, 4)
  prior = tg.TopPrior(None, embedding, 3)
  y = np.zeros([3, 2, 2, 2], np.float32)
  prior.inverse(y, label=[0, 1, 2])
  embedding.kernel.assign(normal(3, 4))
  x = prior.inverse(tf.identity(y), label=[0, 2, 2]).numpy()
  np.testing.assert_array_equal(x[1], x[2])
  mean, log_scale = np.split(embedding.kernel.numpy()[0], 2)
  np.testing.assert_allclose(
      x[0, 0, 0], -mean * np.exp(-log_scale), rtol=1e-5)


def test_chain_folds_neighbouring_layers_into_one_product():
  layers = [tg.ActNorm(4), tg.InvertibleConv(4, seed=0),
            tg.ChannelPermutation.shuffle(4, seed=0)]
  layers[0].initialize(normal(5, 3, 3, 4) * 2. + 1.)
  chain = tg.Chain(layers)
  y = normal(5, 3, 3, 4)
  x, log_det = y, 0.
  for layer in layers:
    x, one = layer.inverse_and_log_det(x)
    log_det += one
  got = chain.inverse_and_log_det(y)
  np.testing.assert_allclose(got[0], x, atol=1e-5)
  np.testing.assert_allclose(got[1], log_det, rtol=1e-5)
  traced = tf.function(chain.inverse).get_concrete_function(
      tf.TensorSpec([5, 3, 3, 4]))
  on_images = [op.type for op in traced.graph.get_operations()
               if op.outputs and op.outputs[0].shape in ([45, 4], y.shape)
               and op.type not in ('Placeholder', 'Reshape', 'Identity')]
  assert on_images == ['MatMul', 'BiasAdd']


def _reshape(shape):
  return tfp.bijectors.Reshape(
      event_shape_out=shape, event_shape_in=(int(np.prod(shape)),))


def test_a_bounded_split_prior_bounds_what_sampling_multiplies_by():
  def far_off(kept):
    return 1e3 * tf.ones_like(tf.concat([kept, kept], axis=-1))

  layer = tg.FactorOut(
      tfp.bijectors.Reshape(event_shape_out=(2, 2, 1)), far_off,
      max_log_scale=2.)
  x = normal(3, 8)
  y = layer.forward(x)
  np.testing.assert_allclose(
      y[..., 1], 1e3 + np.exp(2.) * x[:, :4].reshape(3, 2, 2), rtol=1e-6)
  np.testing.assert_allclose(layer.inverse(tf.identity(y)), x, atol=1e-4)


def test_layers_without_a_seed_obey_that_of_keras():
  drawn = []
  for _ in range(2):
    keras.utils.set_random_seed(3)
    drawn.append([tg.InvertibleConv(4).kernel.numpy(),
                  tg.InvertibleConvLU(4).lower.numpy(),
                  tg.ChannelPermutation.shuffle(40).order.numpy()])
  drawn.append([tg.InvertibleConv(4).kernel.numpy(),
                tg.InvertibleConvLU(4).lower.numpy(),
                tg.ChannelPermutation.shuffle(40).order.numpy()])
  for one, same, other in zip(*drawn):
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
