"""Conditions of a model reach its flow."""

import numpy as np
import tensorflow as tf

from tests import test_model


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
