"""The layers inside the rest of TensorFlow Probability."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_glow as tg

tfb = tfp.bijectors
tfd = tfp.distributions


def small_flow():
  flow = tg.Glow((4, 4, 1), levels=1, steps=2, width=4, seed=0)
  for variable in flow.trainable_variables:
    variable.assign_add(.1 * tf.random.normal(variable.shape))
  return flow


def standard_normal(size):
  return tfd.Sample(tfd.Normal(0., 1.), [size])


def test_sample_and_log_prob_of_a_transformed_distribution():
  flow = small_flow()
  distribution = tfd.TransformedDistribution(standard_normal(16), flow)
  assert distribution.event_shape == [4, 4, 1]
  assert distribution.batch_shape == []
  y = distribution.sample([2, 3], seed=1)
  assert y.shape == [2, 3, 4, 4, 1]
  z, log_det = flow.inverse_and_log_det(y)
  want = standard_normal(16).log_prob(z) + log_det
  np.testing.assert_allclose(
      distribution.log_prob(tf.identity(y)), want, rtol=1e-5)
  y, log_prob = distribution.experimental_sample_and_log_prob(5, seed=1)
  np.testing.assert_allclose(
      log_prob, distribution.log_prob(tf.identity(y)), rtol=1e-4)


def test_density_integrates_to_one():
  # Two pixels, so a grid will do.
  coupling = tg.AffineCoupling(keras.layers.Dense(
      2, kernel_initializer='random_normal'), event_ndims=1)
  chain = tg.Chain([coupling, tg.Scale(2)])
  distribution = tfd.TransformedDistribution(standard_normal(2), chain)
  grid = np.linspace(-12., 12., 401, dtype=np.float32)
  points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
  total = np.exp(distribution.log_prob(points)).sum() * (24. / 400.)**2
  np.testing.assert_allclose(total, 1., atol=1e-3)


def test_affine_layers_have_a_mean_and_an_entropy():
  layers = [tg.Squeeze(), tg.ActNorm(4), tg.InvertibleConv(4, seed=0),
            tg.ChannelPermutation([1, 0, 3, 2])]
  layers[1].log_scale.assign([.1, .2, .3, .4])
  layers[1].shift.assign([1., 2., 3., 4.])
  base = tfd.Sample(tfd.Normal(.5, 1.), [1, 1, 4])
  for bijector in (tg.Chain(layers), tfb.Chain(layers)):
    distribution = tfd.TransformedDistribution(base, bijector)
    y = distribution.sample(4000, seed=1)
    np.testing.assert_allclose(
        distribution.mean(), np.mean(y, axis=0), atol=.1)
    np.testing.assert_allclose(
        distribution.entropy(), -np.mean(distribution.log_prob(y)), atol=.1)
  coupling = tg.AdditiveCoupling(tf.tanh, event_ndims=1)
  curved = tfd.TransformedDistribution(
      standard_normal(2), tg.Chain([coupling, tg.Scale(2)]))
  with pytest.raises(NotImplementedError):
    curved.mean()


def test_invert():
  flow = small_flow()
  inverted = tfb.Invert(flow)
  y = tf.random.normal([3, 4, 4, 1])
  np.testing.assert_allclose(inverted.forward(y), flow.inverse(y), atol=1e-6)
  np.testing.assert_allclose(
      inverted.forward_log_det_jacobian(y, 3),
      flow.inverse_log_det_jacobian(y, 3), rtol=1e-5)
  encoder = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), [4, 4, 1]), inverted)
  z = encoder.sample(3, seed=0)
  assert z.shape == [3, 16]
  assert np.isfinite(encoder.log_prob(tf.identity(z))).all()


def test_joint_distribution_sequential():
  flow = small_flow()
  joint = tfd.JointDistributionSequential([
      tfd.Normal(0., 1.),
      lambda scale: tfd.TransformedDistribution(
          tfd.Sample(tfd.Normal(0., tf.exp(scale)), [16]), flow),
  ])
  scale, image = joint.sample(3, seed=0)
  assert image.shape == [3, 4, 4, 1]
  log_prob = joint.log_prob([scale, tf.identity(image)])
  z, log_det = flow.inverse_and_log_det(image)
  want = (tfd.Normal(0., 1.).log_prob(scale) + log_det + tf.reduce_sum(
      tfd.Normal(0., tf.exp(scale)[:, None]).log_prob(z), -1))
  np.testing.assert_allclose(log_prob, want, rtol=1e-4)


def test_batched_base_distribution():
  flow = small_flow()
  base = tfd.Independent(tfd.Normal(tf.zeros([5, 16]), 1.), 1)
  distribution = tfd.TransformedDistribution(base, flow)
  assert distribution.batch_shape == [5]
  y = distribution.sample(2, seed=0)
  assert y.shape == [2, 5, 4, 4, 1]
  assert distribution.log_prob(tf.identity(y)).shape == [2, 5]


def test_tfd_sample_of_a_flow():
  flow = small_flow()
  distribution = tfd.Sample(
      tfd.TransformedDistribution(standard_normal(16), flow), [3])
  y = distribution.sample(2, seed=0)
  assert y.shape == [2, 3, 4, 4, 1]
  parts = tfd.TransformedDistribution(
      standard_normal(16), flow).log_prob(tf.identity(y))
  np.testing.assert_allclose(
      distribution.log_prob(tf.identity(y)), np.sum(parts, -1), rtol=1e-4)


def test_variational_posterior_comes_near_its_target():
  coupling = [
      tg.AffineCoupling(keras.Sequential([
          keras.layers.Dense(16, activation='relu'), keras.layers.Dense(2)]),
                        mask, event_ndims=1)
      for mask in (tg.EvenOdd('even'), tg.EvenOdd('odd'))]
  posterior = tfd.TransformedDistribution(
      standard_normal(2), tg.Chain([*coupling, tg.Scale(2)]))
  posterior.sample(1)
  target = tfd.MultivariateNormalTriL(
      [1., -1.], [[1., 0.], [.6, .8]])
  losses = tfp.vi.fit_surrogate_posterior(
      target.log_prob, posterior, tf_keras.optimizers.Adam(.02),
      num_steps=150, sample_size=64, seed=1,
      trainable_variables=posterior.trainable_variables)
  assert np.mean(losses[-10:]) < .15 < np.mean(losses[:5])


def test_a_keyword_reaches_the_layer_in_a_transformed_distribution():
  flow = tg.Glow((4, 4, 1), levels=1, steps=1, width=4, num_classes=3, seed=0)
  for variable in flow.trainable_variables:
    variable.assign_add(.1 * tf.random.normal(variable.shape))
  distribution = tfd.TransformedDistribution(standard_normal(16), flow)
  y = tf.random.uniform([3, 4, 4, 1]) - .5
  one = distribution.log_prob(y, bijector_kwargs={'label': [0, 1, 2]})
  other = distribution.log_prob(
      tf.identity(y), bijector_kwargs={'label': [0, 2, 2]})
  np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
  assert np.abs(one[1] - other[1]) > 1e-3
  samples = distribution.sample(
      3, seed=0, bijector_kwargs={'label': [0, 1, 2]})
  assert samples.shape == [3, 4, 4, 1]
  with pytest.raises(TypeError, match='lable'):
    distribution.log_prob(y, bijector_kwargs={'lable': [0, 1, 2]})


def test_tfp_chain_passes_keywords_by_name():
  coupling = tg.AffineCoupling(
      tg.networks.GlowNetwork(2, 4, seed=0), name='conditional')
  chain = tfb.Chain([tfb.Shift(1.), coupling])
  y = tf.random.normal([2, 4, 4, 2])
  condition = tf.random.normal([2, 4, 4, 3])
  x = chain.inverse(y, conditional={'feature_map': condition})
  np.testing.assert_allclose(
      x, coupling.inverse(y - 1., feature_map=condition), atol=1e-5)


def test_conditions_change_the_answer_at_every_level():
  flow = tg.Glow((8, 8, 1), levels=2, steps=1, width=4, seed=0,
                 feature_map_channels=2, context_size=3)
  for variable in flow.trainable_variables:
    variable.assign_add(.2 * tf.random.normal(variable.shape))
  y = tf.random.uniform([2, 8, 8, 1]) - .5
  feature_map = tf.random.normal([2, 8, 8, 2])
  context = tf.random.normal([2, 3])
  z = flow.inverse(y, feature_map=feature_map, context=context)
  for changed in (
      {'feature_map': feature_map + 1., 'context': context},
      {'feature_map': feature_map, 'context': context + 1.}):
    other = flow.inverse(tf.identity(y), **changed)
    for one, two in zip(flow.split_latent(z), flow.split_latent(other)):
      assert np.abs(one - two).max() > 1e-3
  # One condition for all samples, broadcast over the leading axis.
  many = flow.inverse(
      tf.stack([y, y]), feature_map=feature_map, context=context)
  np.testing.assert_allclose(many[1], z, atol=1e-5)
