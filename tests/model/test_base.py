"""Base distributions of a model's latents."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import test_model
import tfp_glow as tg

tfd = tfp.distributions
IMAGES = test_model.random_images()


def nice(base):
  flow = tg.NICE(32, couplings=2, hidden_layers=1, width=8, seed=0)
  return tg.FlowModel(flow, image_shape=test_model.SHAPE, base=base, seed=0)


def logistic(trainable=False):
  loc = tf.Variable(np.full(32, .25, np.float32)) if trainable else .25
  return tfd.Logistic(loc, .5)


@pytest.fixture(scope='module')
def model():
  """A NICE with the prior of its paper, trained, location included."""
  model = nice(logistic(trainable=True))
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  model.fit(IMAGES, batch_size=32, epochs=3, verbose=0)
  return model


def test_the_density_is_that_of_the_base():
  scalar, batch = nice(logistic()), nice(logistic(trainable=True))
  joint = nice(tfd.Independent(tfd.Logistic(tf.fill([32], .25), .5), 1))
  middle = scalar.pixels.dequantise(IMAGES, scalar.pixels.fixed_noise())
  y = tf.reshape(middle, [-1, 32]) / 256. - .5
  z, log_det = scalar.flow.inverse_and_log_det(y)
  want = (np.sum(tfd.Logistic(.25, .5).log_prob(z), -1) + log_det
          - 32. * np.log(256.))
  for model in (scalar, batch, joint):
    assert model.base.event_shape == [32] and model.base.batch_shape == []
    np.testing.assert_allclose(model.log_prob(IMAGES), want, rtol=1e-5)
    np.testing.assert_allclose(
        model.distribution.log_prob(middle), want, rtol=1e-5)
  assert np.abs(nice(None).log_prob(IMAGES) - want).min() > .1


def test_its_variables_are_trained_and_part_of_the_model(model):
  part = model.get_layer('base')
  assert np.abs(part.weights[0] - .25).max() > 1e-3
  assert any(part.weights[0] is weight for weight in model.trainable_weights)


def test_a_keras_file_has_the_base(model, tmp_path):
  path = tmp_path / 'model.keras'
  model.save(path)
  loaded = keras.models.load_model(path)
  np.testing.assert_array_equal(
      loaded.log_prob(IMAGES), model.log_prob(IMAGES))
  np.testing.assert_array_equal(
      loaded.sample(2, seed=3), model.sample(2, seed=3))


def test_a_base_that_no_file_can_hold_is_refused(tmp_path):
  scale = tfp.util.TransformedVariable(1., tfp.bijectors.Exp())
  model = nice(tfd.Logistic(0., scale))
  assert [w for w in model.get_layer('base').weights if w.trainable]
  with pytest.raises(TypeError, match='`scale` is a Transformed.*save_weights'):
    model.save(tmp_path / 'model.keras')


def test_temperature_goes_about_the_mean(model):
  draws = model.sample_latents(500, seed=1).numpy()
  mean = model.base.mean().numpy()
  assert .7 < np.std(draws - mean) / (.5 * np.pi / np.sqrt(3.)) < 1.3
  np.testing.assert_allclose(
      model.sample_latents(500, .5, seed=1), mean + .5 * (draws - mean),
      rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
      model.sample_latents(1, 0.), mean[None], atol=1e-6)


def test_a_base_without_a_mean_has_one_temperature():
  model = nice(tfd.Cauchy(0., 1.))
  assert model.sample_latents(3, seed=1).shape == [3, 32]
  with pytest.raises(ValueError, match='`temperature` must be 1.*no mean'):
    model.sample(3, temperature=.5)


def test_the_served_sample_is_of_the_base(model, tmp_path):
  served = tf.saved_model.load(tg.export_saved_model(model, tmp_path))
  seeds = tf.constant([[5, 1], [6, 2], [7, 3]])
  got = served.signatures['sample'](
      seed=seeds, temperature=tf.constant([1., .5, 0.]))['images']
  mean = model.base.mean()
  latents = [mean + t * (model.base.sample(seed=seed) - mean)
             for seed, t in zip(seeds, (1., .5, 0.))]
  np.testing.assert_array_equal(got, model.decode(tf.stack(latents)))


@pytest.mark.parametrize('base, error, words', [
    (tfd.MultivariateNormalDiag(tf.zeros([31])), ValueError,
     [r'\(31,\)', r'\(32,\)']),
    (tfd.Normal(tf.zeros([2, 32]), 1.), ValueError, [r'\(2, 32\)']),
    (tfd.Normal(tf.zeros([], tf.float64), 1.), TypeError,
     ['float64', 'float32']),
    ('logistic', TypeError, ['tfd.Distribution', "'logistic'"]),
])
def test_a_base_of_another_form_is_refused(base, error, words):
  for word in ['`base`', *words]:
    with pytest.raises(error, match=word):
      nice(base)
