"""NICE."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import dinh
import tfp_glow as tg
from tfp_glow import networks

tfd = tfp.distributions

TOLERANCE = {tf.float32: 1e-5, tf.float64: 1e-13}
CONTEXT = np.random.default_rng(2).standard_normal((3, 2))


def make(dtype=tf.float64, **kwargs):
  """A small NICE whose every weight has moved off its initial value."""
  kwargs = {'width': 5, 'hidden_layers': 2, 'seed': 0, **kwargs}
  return dinh.randomise(tg.NICE(6, dtype=dtype, **kwargs))


def vectors(*batch_shape, dtype=tf.float64):
  generator = np.random.default_rng(5)
  return tf.constant(generator.standard_normal([*batch_shape, 6]), dtype)


@pytest.mark.parametrize(
    'dtype', [tf.float32, tf.float64], ids=['float32', 'float64'])
def test_inverse_undoes_forward_however_it_is_called(dtype):
  flow = make(dtype)

  def there_and_back(y):
    x, log_det = flow.inverse_and_log_det(y)
    return (x, log_det, *flow.forward_and_log_det(tf.identity(x)))

  spec = tf.TensorSpec([None, 6], dtype)
  want = None
  for way, run in (
      ('eager', there_and_back),
      ('unknown batch', tf.function(there_and_back, input_signature=[spec])),
      ('XLA', tf.function(there_and_back, jit_compile=True))):
    for y in (vectors(3, dtype=dtype), vectors(3, dtype=dtype)[:1]):
      x, log_det, again, forward_log_det = run(y)
      np.testing.assert_allclose(
          again, y, atol=TOLERANCE[dtype], err_msg=way)
      np.testing.assert_array_equal(log_det, -forward_log_det)
      assert x.dtype == log_det.dtype == dtype
      assert x.shape == y.shape and log_det.shape == y.shape[:1]
      want = x if want is None else want
      np.testing.assert_allclose(
          x, want[:len(y)], atol=TOLERANCE[dtype], err_msg=way)


def test_batches_of_any_rank():
  flow = make()
  y = vectors(2, 3)
  x, log_det = flow.inverse_and_log_det(y)
  assert log_det.shape == [2, 3]
  np.testing.assert_allclose(x[1, 2], flow.inverse(y[1, 2]), atol=1e-13)
  np.testing.assert_allclose(
      flow.forward(tf.identity(x)), y, atol=1e-13)


def test_log_dets_are_those_of_the_full_jacobian():
  flow = make(context_size=2)
  context = tf.constant(CONTEXT)
  y = vectors(3)
  x = tf.identity(flow.inverse(y, context=context))
  for map_, log_det, value in (
      (flow.inverse, flow.inverse_log_det_jacobian, y),
      (flow.forward, flow.forward_log_det_jacobian, x)):
    with tf.GradientTape() as tape:
      tape.watch(value)
      result = map_(value, context=context)
    jacobian = tape.batch_jacobian(result, value)
    assert np.abs(jacobian).min() > 0.  # each component sees every other
    got = log_det(tf.identity(value), 1, context=context)
    np.testing.assert_allclose(got, np.linalg.slogdet(jacobian)[1], rtol=1e-8)
    np.testing.assert_allclose(
        np.abs(got), np.abs(np.sum(flow.bijectors[-1].log_scale)), rtol=1e-12)


def test_it_is_what_the_paper_writes():
  flow = make(couplings=3)
  y = vectors(3)

  def shift(coupling, kept):
    network = coupling.conditioner
    h = kept
    for layer in network.hidden:
      h = np.maximum(h @ layer.kernel.numpy() + layer.bias.numpy(), 0.)
    return h @ network.out.kernel.numpy() + network.out.bias.numpy()

  *couplings, scale = flow.bijectors
  even, odd = y.numpy()[:, 0::2], y.numpy()[:, 1::2]
  odd = odd + shift(couplings[0], even)
  even = even + shift(couplings[1], odd)
  odd = odd + shift(couplings[2], even)
  want = np.stack([even, odd], axis=-1).reshape(3, 6)
  want *= np.exp(scale.log_scale)
  np.testing.assert_allclose(flow.inverse(y), want, atol=1e-13)


def test_it_starts_near_the_identity_with_the_papers_sizes():
  flow = tg.NICE(8, seed=0)
  networks_ = [c.conditioner for c in flow.bijectors[:-1]]
  assert len(networks_) == 4
  assert [[h.units for h in n.hidden] for n in networks_] == [[1000] * 5] * 4
  y = tf.random.stateless_normal([3, 8], [0, 0])
  difference = np.abs(flow.inverse(y) - y)
  assert 1e-3 < difference.max() < 1.
  np.testing.assert_array_equal(flow.inverse_log_det_jacobian(y, 1), 0.)
  assert sum(int(tf.size(v)) for v in flow.variables) == 8 + 4 * (
      4 * 1000 + 1000 + 4 * (1000 * 1000 + 1000) + 1000 * 4 + 4)


def test_it_makes_a_distribution():
  flow = make(tf.float32)
  base = tfd.Sample(tfd.Logistic(0., 1.), sample_shape=[6])
  distribution = tfd.TransformedDistribution(base, flow)
  y = distribution.sample(5, seed=0)
  x, log_det = flow.inverse_and_log_det(tf.identity(y))
  np.testing.assert_allclose(
      distribution.log_prob(y), base.log_prob(x) + log_det, rtol=1e-5)
  assert len(distribution.trainable_variables) == 4 * 2 * 3 + 1
  with tf.GradientTape() as tape:
    loss = -tf.reduce_mean(distribution.log_prob(tf.identity(y)))
  assert all(g is not None for g in tape.gradient(
      loss, distribution.trainable_variables))


def test_one_log_prob_calls_each_network_once(monkeypatch):
  flow = make(tf.float32)
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Logistic(0., 1.), sample_shape=[6]), flow)
  calls = []
  call = networks.DenseNetwork.call

  def counted(self, *args, **kwargs):
    calls.append(self)
    return call(self, *args, **kwargs)

  monkeypatch.setattr(networks.DenseNetwork, 'call', counted)
  distribution.log_prob(vectors(3, dtype=tf.float32))
  assert len(calls) == len({id(c) for c in calls}) == 4


def test_the_context_reaches_every_coupling():
  flow = make(context_size=2)
  with tf.GradientTape() as tape:
    x = flow.inverse(vectors(3), context=tf.constant(CONTEXT))
  gradients = tape.gradient(x, [
      c.conditioner.hidden[0].kernel.value for c in flow.bijectors[:-1]])
  for gradient in gradients:
    assert gradient.shape == [3 + 2, 5]
    assert (np.abs(gradient[3:]).max(1) > 0.).all()
  one = flow.inverse(vectors(3), context=tf.constant(CONTEXT[0]))
  same = flow.inverse(vectors(3), context=tf.constant(CONTEXT[[0, 0, 0]]))
  np.testing.assert_array_equal(one, same)
  with pytest.raises(TypeError, match='needs `context='):
    flow.inverse(vectors(3))


def test_the_latent_is_one_part():
  flow = make()
  assert flow.latent_shapes == [(6,)]
  assert flow.event_size == 6
  z = vectors(3)
  part, = flow.split_latent(z)
  np.testing.assert_array_equal(part, z)
  np.testing.assert_array_equal(flow.join_latent([part]), z)


def test_keras_rebuilds_it_from_its_config():
  flow = tg.NICE(4, couplings=3, hidden_layers=1, width=2, context_size=2,
                 seed=7, dtype=tf.float64, name='mine')
  config = keras.saving.serialize_keras_object(flow)
  again = keras.saving.deserialize_keras_object(config)
  assert isinstance(again, tg.NICE)
  assert again.get_config() == flow.get_config()
  y = vectors(3)[:, :4]
  want = flow.inverse(y, context=tf.constant(CONTEXT))
  np.testing.assert_array_equal(
      again.inverse(y, context=tf.constant(CONTEXT)), want)
  other = tg.NICE(4, couplings=3, hidden_layers=1, width=2, context_size=2,
                  seed=8, dtype=tf.float64)
  assert np.abs(want - other.inverse(
      y, context=tf.constant(CONTEXT))).max() > 1e-4


def test_mixed_networks_compute_in_float32_when_not_training():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('mixed_bfloat16')
  try:
    mixed = make(tf.float32)
  finally:
    keras.config.set_dtype_policy(before)
  assert mixed.bijectors[0].conditioner.hidden[0].compute_dtype == 'bfloat16'
  plain = make(tf.float32)
  y = vectors(3, dtype=tf.float32)
  np.testing.assert_array_equal(mixed.inverse(y), plain.inverse(y))
  y = tf.identity(y)
  assert np.abs(mixed.inverse(y, training=True) - plain.inverse(
      y, training=True)).max() > 1e-4


@pytest.mark.parametrize('kwargs,message', [
    ({'event_size': 5}, '`event_size` is 5, but an even number'),
    ({'event_size': 0}, '`event_size` must be a positive integer'),
    ({'couplings': 0}, '`couplings` must be a positive integer'),
    ({'hidden_layers': 0}, '`hidden_layers` must be a positive integer'),
    ({'width': 0}, '`width` must be a positive integer'),
    ({'context_size': 0}, '`context_size` must be a positive integer'),
    ({'dtype': tf.float16}, '`dtype` of a flow must be float32 or float64'),
])
def test_bad_arguments_are_named(kwargs, message):
  with pytest.raises(ValueError, match=message):
    tg.NICE(**{'event_size': 4, 'width': 1, **kwargs})


def test_vectors_of_another_size_are_refused():
  flow = make()
  with pytest.raises(ValueError, match=r'`y` .*\[..., 6\] is needed'):
    flow.inverse(tf.zeros([3, 4], tf.float64))
  with pytest.raises(TypeError, match='`feature_map`: no layer of'):
    flow.inverse(vectors(3), feature_map=tf.zeros([3, 2, 2, 1], tf.float64))
