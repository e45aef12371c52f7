"""Conditions of a model reach its flow."""

import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg


def test_the_condition_called_context_is_one_everywhere():
  model = test_model.make_model(adapt=False, context_size=2)
  context = np.float32(np.random.default_rng(0).standard_normal((4, 2)))
  images = test_model.random_images(4)
  model.adapt(images, context=context)
  for variable in model.trainable_weights:  # so that the context matters
    variable.assign_add(.1 * tf.random.stateless_normal(variable.shape, [0, 1]))
  latents = model.encode(images, context=context)
  np.testing.assert_array_equal(
      model.decode(latents, context=context), images)
  bits = model.bits_per_dim(images, context=context)
  np.testing.assert_allclose(
      model({'images': images, 'context': context})['bits_per_dim'], bits,
      rtol=1e-5)
  assert not np.allclose(bits, model.bits_per_dim(images, context=-context))


@pytest.mark.parametrize('name, shape, size', [
    ('feature_map', (4, 4, 3), {'feature_map_channels': 3}),
    ('context', (2,), {'context_size': 2})])
def test_split_priors_see_conditions(name, shape, size):
  # As built: couplings change nothing, and only the split prior is moved.
  flow = tg.Glow(test_model.SHAPE, levels=2, steps=1, width=4, seed=0, **size)
  factor_out = next(layer for layer in flow.bijectors
                    if isinstance(layer, tg.FactorOut))
  kernel = factor_out.conditioner.kernel
  kernel.assign(.1 * np.random.default_rng(0).standard_normal(kernel.shape))
  images = np.float32(np.random.default_rng(1).random((2, 4, 4, 2)))
  values = np.float32(np.random.default_rng(2).standard_normal((2, *shape)))
  (left, stays), (other, stays_too) = (
      flow.split_latent(flow.inverse(tf.constant(images), **{name: value}))
      for value in (values, -values))
  np.testing.assert_array_equal(stays, stays_too)
  assert np.abs(left - other).mean(axis=(1, 2, 3)).min() > .01
