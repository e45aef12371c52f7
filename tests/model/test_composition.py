"""Chains of a user's own in a model."""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tests import test_model
import tfp_glow as tg

tfb = tfp.bijectors
IMAGES = test_model.random_images()


def layers():
  network = keras.Sequential([
      keras.layers.Conv2D(4, 3, padding='same', activation='relu'),
      keras.layers.Conv2D(8, 3, padding='same')])
  return [tg.Squeeze(), tg.ActNorm(8), tg.InvertibleConv(8, seed=0),
          tg.AffineCoupling(network)]


@pytest.mark.parametrize('flow', [
    lambda: tg.Chain(layers()),
    lambda: tfb.Chain([*layers(), tfb.Reshape((32,), (2, 2, 8))][:-1]),
    lambda: tfb.Chain([tfb.Chain(layers()), tfb.Reshape((2, 2, 8), (32,))]),
])
def test_a_chain_is_adapted_and_trained_whoever_made_it(flow):
  model = tg.FlowModel(flow(), image_shape=test_model.SHAPE, seed=0)
  model.adapt(IMAGES)
  act_norm = next(module for module in model.distribution.submodules
                  if isinstance(module, tg.ActNorm))
  assert np.abs(act_norm.shift).min() > 1e-3
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  history = model.fit(IMAGES, batch_size=32, epochs=5, verbose=0).history
  assert history['loss'][-1] < history['loss'][0]
  latents = model.encode(IMAGES)
  assert latents.shape == [64, 32]
  np.testing.assert_array_equal(model.decode(latents), IMAGES)


def test_a_layer_that_adapt_does_not_reach_is_told():
  flow = tfb.Chain([tfb.Invert(tg.ActNorm(2, name='mine')), tg.ActNorm(2)])
  model = tg.FlowModel(flow, image_shape=test_model.SHAPE)
  with pytest.raises(TypeError, match='`flow` has mine.*tfp_glow.Chain'):
    model.adapt(IMAGES)


@pytest.mark.parametrize('flow', [None, 'glow', tg.Glow, tfp.distributions])
def test_what_is_no_flow_is_named(flow):
  with pytest.raises(TypeError, match='`flow` must be a bijector'):
    tg.FlowModel(flow)


def test_a_model_has_the_precision_of_its_flow():
  flow = tg.Chain([tg.ActNorm(2)])
  for dtype in (None, 'float32'):
    tg.FlowModel(flow, image_shape=test_model.SHAPE, dtype=dtype)
  with pytest.raises(ValueError, match="`dtype` is 'float64'.* float32"):
    tg.FlowModel(flow, image_shape=test_model.SHAPE, dtype='float64')


def test_latents_of_another_size_are_refused():
  flow = tfb.Chain([tfb.Reshape((4, 4, 1), (4, 4)), tfb.FillTriangular()])
  with pytest.raises(ValueError, match=r'`flow` has latents of shape \(10,\)'):
    tg.FlowModel(flow, image_shape=(4, 4, 1))


@pytest.mark.parametrize('name, preprocessing', [
    ('real_nvp', 'logit'), ('nice', 'centered')])
def test_a_system_says_which_preprocessing_it_needs(name, preprocessing):
  model = test_model.make_other_system(name)
  assert model.flow.preprocessing == preprocessing
  assert tg.FlowModel(
      model.flow, image_shape=model.image_shape,
  ).pixels.preprocessing == preprocessing
  other = {'logit': 'centered', 'centered': 'logit'}[preprocessing]
  assert tg.FlowModel(
      model.flow, preprocessing=other, image_shape=model.image_shape,
  ).pixels.preprocessing == other
