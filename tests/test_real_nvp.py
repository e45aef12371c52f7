"""RealNVP as a bijector; `test_dinh_checkpoint` compares it to the paper's."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import contract
from tests.dinh import SHAPE
from tests.dinh import couplings
from tests.dinh import images
from tests.dinh import make
from tests.dinh import moments
import tfp_glow as tg
from tfp_glow import networks

tfd = tfp.distributions

TOLERANCE = {tf.float32: 2e-5, tf.float64: 1e-12}
FEATURE_MAP = {
    'feature_map': np.random.default_rng(1).standard_normal((3, 4, 4, 1))}
CONTEXT = {'context': np.random.default_rng(2).standard_normal((3, 2))}


def cast(conditions, dtype=tf.float64):
  return {name: tf.constant(value, dtype)
          for name, value in conditions.items()}


def there_and_back(flow, y, **conditions):
  x, inverse_log_det = flow.inverse_and_log_det(y, **conditions)
  again, forward_log_det = flow.forward_and_log_det(
      tf.identity(x), **conditions)
  return x, inverse_log_det, again, forward_log_det


@pytest.mark.slow
@pytest.mark.parametrize('dtype', [
    pytest.param(tf.float32, id='float32'),
    pytest.param(tf.float64, id='float64')])
def test_inverse_undoes_forward_however_it_is_called(dtype):
  flow = make(dtype=dtype)
  tolerance = TOLERANCE[dtype]

  def function(y):
    return there_and_back(flow, y)

  spec = tf.TensorSpec([None, *SHAPE], dtype)
  ways = {'eager': function,
          'unknown batch': tf.function(function, input_signature=[spec])}
  if dtype == tf.float32:
    ways['XLA'] = tf.function(function, jit_compile=True)
  want = None
  for way, run in ways.items():
    y = images(3, dtype=dtype)
    x, log_det, again, forward_log_det = run(y)
    np.testing.assert_allclose(again, y, atol=tolerance, err_msg=way)
    np.testing.assert_allclose(
        forward_log_det, -log_det, atol=10 * tolerance, err_msg=way)
    assert x.dtype == log_det.dtype == dtype
    assert x.shape == [3, 32] and log_det.shape == [3]
    want = want or (x, log_det)
    np.testing.assert_allclose(x, want[0], atol=tolerance, err_msg=way)
    np.testing.assert_allclose(
        log_det, want[1], atol=10 * tolerance, err_msg=way)


def test_events_do_not_depend_on_the_batch_around_them():
  flow = make()
  y = images(2, 3)
  want, want_log_det, again, _ = there_and_back(flow, y)
  assert want_log_det.shape == [2, 3]
  np.testing.assert_allclose(again, y, atol=1e-12)
  for index, batch_shape in (((0, slice(1)), [1]), ((0, 0), [])):
    x, log_det, again, _ = there_and_back(flow, y[index])
    assert log_det.shape == batch_shape
    np.testing.assert_allclose(x, want[index], atol=1e-12)
    np.testing.assert_allclose(log_det, want_log_det[index], rtol=1e-12)
    np.testing.assert_allclose(again, y[index], atol=1e-12)


@pytest.mark.parametrize('shape,kwargs,conditions', [
    ((4, 2, 1), {}, {}),
    ((2, 3, 1), {'scales': 1}, {}),
    ((4, 4, 1), {'scales': 3}, {}),
    ((4, 4, 1), {'scales': 1, 'feature_map_channels': 1, 'context_size': 2},
     {**FEATURE_MAP, **CONTEXT}),
], ids=['two_scales', 'one_scale', 'three_scales', 'conditions'])
def test_log_dets_are_those_of_the_full_jacobian(shape, kwargs, conditions):
  flow = make(shape, **kwargs)
  conditions = cast(conditions)
  y = images(3, shape=shape)
  x = tf.identity(flow.inverse(y, **conditions))
  for map_, log_det, value, event_ndims in (
      (flow.inverse, flow.inverse_log_det_jacobian, y, 3),
      (flow.forward, flow.forward_log_det_jacobian, x, 1)):
    got = log_det(value, event_ndims, **conditions)
    want = np.linalg.slogdet(
        contract.jacobian(map_, value, conditions))[1]
    np.testing.assert_allclose(got, want, rtol=1e-8)


def test_latents_come_scale_by_scale_the_top_one_last():
  flow = tg.RealNVP((8, 8, 2), scales=3, width=1, residual_blocks=1,
                    dtype=tf.float64)
  assert flow.latent_shapes == [(4, 4, 4), (2, 2, 8), (2, 2, 8)]
  for coupling in couplings(flow):
    coupling.rescale.assign(0.)
    coupling.conditioner.conv_out.magnitude.assign(tf.zeros([
        coupling.conditioner.filters]))
  # The couplings are identities; each divides half of the values by the root
  # of 1 + 1e-4, so that with an odd number a checkerboard stays.
  y = images(3, shape=(8, 8, 2))
  first, second, top = [
      part.numpy() for part in flow.split_latent(flow.inverse(y))]
  squeezed = np.concatenate(
      [y[:, 0::2, 0::2], y[:, 1::2, 1::2], y[:, 0::2, 1::2], y[:, 1::2, 0::2]],
      axis=-1)
  np.testing.assert_allclose(first, squeezed[..., 4:], rtol=5e-4)
  stay = squeezed[..., :4]
  squeezed = np.concatenate(
      [stay[:, 0::2, 0::2], stay[:, 1::2, 1::2], stay[:, 0::2, 1::2],
       stay[:, 1::2, 0::2]], axis=-1)
  np.testing.assert_allclose(second, squeezed[..., 8:], rtol=1e-3)
  np.testing.assert_allclose(top, squeezed[..., :8], rtol=1e-3)


@pytest.mark.parametrize('name', ['feature_map', 'context'])
def test_conditions_reach_every_coupling(name, monkeypatch):
  size = {'feature_map_channels': 1} if name == 'feature_map' else {
      'context_size': 2}
  conditions = cast(FEATURE_MAP if name == 'feature_map' else CONTEXT)
  flow = make((4, 4, 1), **size)
  seen = []
  append = networks.convolution.append_channels

  def recorded(x, *given):
    seen.extend(c for c in given if c is not None)
    return append(x, *given)

  monkeypatch.setattr(networks.convolution, 'append_channels', recorded)
  y = images(3, shape=(4, 4, 1))
  with tf.GradientTape() as tape:
    x = flow.inverse(y, **conditions)
  assert len(seen) == len(couplings(flow)) == 10
  value = conditions[name].numpy()
  if name == 'feature_map':
    # Squeezed once, as the image is, and not once more after the scale.
    squeezed = np.stack(
        [value[:, dy::2, dx::2, 0] for dy in (0, 1) for dx in (0, 1)], axis=-1)
    want = [value] * 3 + [squeezed] * 7
  else:
    want = [value] * 10
  for got, expected in zip(seen, want):
    np.testing.assert_array_equal(got, expected)
  gradients = tape.gradient(
      x, [c.conditioner.conv_in.kernel.value for c in couplings(flow)])
  for gradient, expected in zip(gradients, want):
    of_condition = gradient[:, :, -expected.shape[-1]:]
    assert (np.abs(of_condition).max((0, 1, 3)) > 0.).all()
  # And the way back sees the same.
  again = flow.forward(tf.identity(x), **conditions)
  np.testing.assert_allclose(again, y, atol=1e-12)


def test_without_its_condition_it_says_what_it_needs():
  flow = make(scales=1, context_size=2)
  with pytest.raises(TypeError, match='needs `context=`'):
    flow.inverse(images(3))
  with pytest.raises(TypeError, match='`feature_map`: no layer of'):
    flow.inverse(images(3), **cast({**FEATURE_MAP, **CONTEXT}))


def test_one_log_prob_calls_each_network_once(monkeypatch):
  flow = make(dtype=tf.float32)
  distribution = tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), [32]), flow)
  calls = []
  apply = networks.ResidualNetwork.apply

  def counted(self, *args, **kwargs):
    calls.append(self)
    return apply(self, *args, **kwargs)

  monkeypatch.setattr(networks.ResidualNetwork, 'apply', counted)
  distribution.log_prob(images(3, dtype=tf.float32))
  assert len(calls) == len({id(c) for c in calls}) == 10


def test_each_variable_is_seen_once():
  flow = tg.RealNVP((4, 4, 1), width=3, residual_blocks=2)
  assert len({id(v) for v in flow.variables}) == len(flow.variables)

  def conv(size, inputs, outputs):
    return size**2 * inputs * outputs

  def network(channels, width, mask):
    norm = 3
    inside = (norm * channels + conv(3, 2 * channels + mask, width) + width
              + conv(1, width, width) + 2 * width)
    block = (2 * norm * width + 2 * conv(3, width, width) + 2 * width
             + conv(1, width, width) + 2 * width)
    last = norm * width + conv(1, width, 2 * channels) + 4 * channels
    flow_norm_and_rescale = 2 * channels + 1
    return inside + 2 * block + last + flow_norm_and_rescale

  order = 4
  want = (3 * network(1, 3, 1) + 3 * network(2, 6, 0) + order
          + 4 * network(2, 6, 1))
  assert sum(int(tf.size(v)) for v in flow.variables) == want


def test_initial_values_are_the_programs():
  flow = tg.RealNVP((4, 4, 1), width=3, residual_blocks=1, seed=0)
  assert [float(c.rescale) for c in couplings(flow)] == (
      [0.] * 3 + [1.] * 3 + [0.] * 4)
  for coupling in couplings(flow):
    network = coupling.conditioner
    block = network.blocks[0]
    for conv in (network.conv_in, network.skip_in, block.conv_1,
                 block.conv_out, network.skips[0], network.conv_out):
      size, _, channels, _ = conv.kernel.shape
      limit = np.sqrt(2. / channels)
      assert limit / 2. < np.abs(conv.kernel).max() <= limit
      if conv.use_magnitude:
        np.testing.assert_allclose(conv.magnitude, size / np.sqrt(6.))
      if conv.use_bias:
        assert not conv.bias.numpy().any()
  for variable in moments(flow):
    want = 1. if 'variance' in variable.name else 0.
    assert (variable.numpy() == want).all()


def test_a_seed_gives_the_same_weights_and_each_network_its_own():
  one, two, other = [
      tg.RealNVP((4, 4, 1), scales=1, width=2, residual_blocks=1, seed=seed)
      for seed in (3, 3, 4)]
  kernels = [[c.conditioner.blocks[0].conv_1.kernel.numpy()
              for c in couplings(flow)] for flow in (one, two, other)]
  for a, b, c in zip(*kernels):
    np.testing.assert_array_equal(a, b)
    assert (a != c).all()
  assert (kernels[0][0] != kernels[0][1]).all()


def test_keras_rebuilds_it_from_its_config():
  flow = tg.RealNVP((4, 4, 1), scales=1, width=2, residual_blocks=1,
                    context_size=2, seed=7, dtype=tf.float64, name='mine')
  config = keras.saving.serialize_keras_object(flow)
  again = keras.saving.deserialize_keras_object(config)
  assert isinstance(again, tg.RealNVP)
  assert again.get_config() == flow.get_config()
  assert again.name == 'mine'
  y = images(3, shape=(4, 4, 1))
  np.testing.assert_array_equal(
      again.inverse(y, **cast(CONTEXT)), flow.inverse(y, **cast(CONTEXT)))


@pytest.fixture(name='mixed_policy')
def mixed_bfloat16():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('mixed_bfloat16')
  yield
  keras.config.set_dtype_policy(before)


def test_mixed_networks_compute_in_float32_when_not_training(mixed_policy):
  mixed = make(scales=1, dtype=tf.float32)
  assert {c.conditioner.compute_dtype for c in couplings(mixed)} == {
      'bfloat16'}
  assert {v.dtype for v in mixed.trainable_variables} == {tf.float32}
  keras.config.set_dtype_policy('float32')
  plain = make(scales=1, dtype=tf.float32)
  y = images(3, dtype=tf.float32)
  np.testing.assert_array_equal(mixed.inverse(y), plain.inverse(y))
  np.testing.assert_array_equal(
      mixed.forward(tf.ones([3, 32])), plain.forward(tf.ones([3, 32])))
  y = tf.identity(y)
  x, log_det = mixed.inverse_and_log_det(y, training=True)
  want = plain.inverse(y, training=True)
  assert x.dtype == log_det.dtype == tf.float32
  assert 1e-4 < np.abs(x - want).max() < .5


def test_a_flow_in_float64_has_networks_in_float64(mixed_policy):
  flow = tg.RealNVP((2, 2, 1), scales=1, width=2, residual_blocks=1,
                    dtype=tf.float64)
  assert {c.conditioner.compute_dtype for c in couplings(flow)} == {'float64'}


@pytest.mark.parametrize('kwargs,message', [
    ({'image_shape': (6, 4, 1), 'scales': 3}, '`image_shape` has height 6'),
    ({'image_shape': (4, 3, 1)}, '`image_shape` has width 3'),
    ({'image_shape': (4, 4)}, '`image_shape` must be three integers'),
    ({'scales': 0}, '`scales` must be a positive integer'),
    ({'width': -1}, '`width` must be a positive integer'),
    ({'residual_blocks': 0}, '`residual_blocks` must be a positive'),
    ({'context_size': 0}, '`context_size` must be a positive'),
    ({'feature_map_channels': 1.5}, '`feature_map_channels` must be'),
    ({'dtype': tf.bfloat16}, '`dtype` of a flow must be float32 or float64'),
])
def test_bad_arguments_are_named(kwargs, message):
  with pytest.raises(ValueError, match=message):
    tg.RealNVP(**{'image_shape': (4, 4, 1), 'width': 1, 'residual_blocks': 1,
                  **kwargs})


def test_what_has_another_shape_is_refused():
  flow = make(scales=1)
  for shape in ((4, 4, 3), (8, 4, 2)):
    with pytest.raises(ValueError, match=r'`y` .*\[..., 4, 4, 2\] is needed'):
      flow.inverse(images(3, shape=shape))
  with pytest.raises(ValueError, match=r'`x` .*\[..., 32\] is needed'):
    flow.forward(tf.zeros([3, 16], tf.float64))
