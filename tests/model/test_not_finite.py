"""Steps that are not finite."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import test_memory
from tests import test_model
import tfp_glow as tg


class BlowsUp(tg.FlowModel):
  """Has a loss, or gradients, that are not finite where there is white."""

  poison = 'loss'

  def compute_loss(self, x=None, y_pred=None, **kwargs):
    loss = super().compute_loss(x=x, y_pred=y_pred, **kwargs)
    white = tf.reduce_any(x['images'] == 255)
    if self.poison == 'loss':
      return loss + tf.where(white, math.nan, 0.)
    # A square root of zero: itself finite, its slope is not.
    zero = tf.where(white, 0. * loss, 1. + 0. * loss)
    return loss + tf.sqrt(zero) - tf.stop_gradient(tf.sqrt(zero))


@pytest.mark.parametrize('poison, jit_compile', [
    ('loss', False),
    pytest.param('gradients', True, marks=pytest.mark.slow),
    pytest.param('gradients', False, marks=pytest.mark.slow)])
def test_a_step_that_is_not_finite_changes_nothing(poison, jit_compile):
  if jit_compile:
    flow = tg.Glow(test_model.SHAPE, levels=1, steps=1, width=4, seed=0)
  else:
    flow = test_memory.batch_normalised()
  model = BlowsUp(flow, image_shape=flow.image_shape, seed=0)
  model.poison = poison
  images = test_model.random_images(64, shape=flow.image_shape)
  white = np.full_like(images, 255)
  model.adapt(images)
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)

  def state():
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]

  def fit(images):
    return model.fit(images, batch_size=32, shuffle=False, verbose=0).history

  fit(images)
  before = state()
  with pytest.warns(UserWarning, match='epoch 1 .* not finite: 2'):
    history = fit(white)
  for old, new in zip(before, state()):
    np.testing.assert_array_equal(old, new)
  assert (model.skipped_steps, model.skipped_in_a_row) == (2, 2)
  assert np.isnan(history['bits_per_dim'][0])  # of no step
  # Bits/dim is that of the finite step alone, and so is the change.
  with pytest.warns(UserWarning, match='epoch 1 .* not finite: 1'):
    mixed = fit(np.concatenate([white[:32], images[:32]]))
  assert (model.skipped_steps, model.skipped_in_a_row) == (3, 0)
  assert 0. < mixed['bits_per_dim'][0] < 20.
  assert mixed['loss'] == pytest.approx(mixed['bits_per_dim'], rel=1e-5)
  changed = [np.any(old != new) for old, new in zip(before, state())]
  assert all(changed[:len(model.weights) // 2])
