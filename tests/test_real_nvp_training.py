"""Batch normalisation of RealNVP in training: statistics, their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tests.dinh import couplings
from tests.dinh import images
from tests.dinh import make
from tests.dinh import moments
import tfp_glow as tg
from tfp_glow import execution


def test_training_uses_and_averages_statistics_of_the_batch():
  flow = make()
  y = images(5)
  before = [v.numpy() for v in moments(flow)]
  x, log_det = flow.inverse_and_log_det(y, training=True)
  for variable, value in zip(moments(flow), before):
    np.testing.assert_array_equal(variable, value)
  assert np.abs(x - flow.inverse(tf.identity(y))).max() > .1

  updates = execution.Updates()
  flow.evaluate(y, True, execution.Context(updates=updates))
  assert not updates.pairs
  flow.evaluate(y, True, execution.Context(training=True, updates=updates))
  updates.apply_where(False)
  for variable, value in zip(moments(flow), before):
    np.testing.assert_array_equal(variable, value)
  updates.apply_where(True)
  # The averages have gone a tenth of the way; with the whole of it they are
  # the batch's statistics, and evaluation gives what training gave.
  for variable, value in zip(moments(flow), before):
    assert np.abs(variable - value).max() > 1e-4, variable.name
    variable.assign(value + 10. * (variable - value))
  want, want_log_det = flow.inverse_and_log_det(tf.identity(y))
  np.testing.assert_allclose(x, want, atol=1e-9)
  np.testing.assert_allclose(log_det, want_log_det, rtol=1e-10)


@pytest.mark.parametrize('way', ['eager', 'graph', 'XLA'])
def test_one_evaluation_in_training_moves_averages_once(way):
  flow = make((2, 2, 2), scales=1)
  y = images(5, shape=(2, 2, 2))
  norm = next(m for m in flow.submodules if isinstance(m, tg.BatchNorm))
  before = norm.running.mean.numpy()
  coupling, _ = flow.bijectors[:2]
  changed = coupling.mask.split(coupling.inverse(y, training=True))[1]
  want = .9 * before + .1 * np.mean(changed, axis=(0, 1, 2))

  def evaluate(y):
    updates = execution.Updates()
    flow.evaluate(y, True, execution.Context(training=True, updates=updates))
    updates.apply_where(True)

  if way != 'eager':
    evaluate = tf.function(
        evaluate, jit_compile=way == 'XLA', autograph=False)
  evaluate(y)
  np.testing.assert_allclose(norm.running.mean, want, rtol=1e-12)


def test_the_statistics_of_a_batch_have_gradients():
  flow = make(scales=1)
  y = images(5)
  with tf.GradientTape() as tape:
    x, log_det = flow.inverse_and_log_det(y, training=True)
    loss = tf.reduce_sum(x**2) / 2. - tf.reduce_sum(log_det)
  gradients = tape.gradient(loss, flow.trainable_variables)
  assert all(g is not None for g in gradients)
  assert all(np.isfinite(g).all() for g in gradients)
  bias = couplings(flow)[-1].conditioner.conv_out.bias
  index = [v is bias.value for v in flow.trainable_variables].index(True)
  step = 1e-6

  def loss_at(value):
    bias.assign(value)
    x, log_det = flow.inverse_and_log_det(y, training=True)
    return tf.reduce_sum(x**2) / 2. - tf.reduce_sum(log_det)

  start = bias.numpy()
  for k in range(len(start)):
    change = step * np.eye(len(start))[k]
    want = (loss_at(start + change) - loss_at(start - change)) / (2 * step)
    np.testing.assert_allclose(gradients[index][k], want, atol=1e-5)


def test_training_has_no_meaning_in_the_other_direction():
  flow = make(scales=1)
  with pytest.raises(ValueError, match='`training=True` has no meaning'):
    flow.forward(tf.zeros([2, 32], tf.float64), training=True)
