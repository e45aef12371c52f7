"""Every layer and system keeps the contract of a bijector."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import contract
import tfp_glow as tg

tfd = tfp.distributions

NAMES = sorted(contract.CASES)
TOLERANCE = {tf.float32: 2e-5, tf.float64: 1e-12}


def there_and_back(bijector, y, conditions):
  """Both directions, with TFP's cache cut between them."""
  x, inverse_log_det = bijector.inverse_and_log_det(y, **conditions)
  x = tf.identity(x)
  again, forward_log_det = bijector.forward_and_log_det(x, **conditions)
  return x, inverse_log_det, again, forward_log_det


def assert_undone(result, want, y, way):
  """That what comes back is `y`, and that all is as it was eagerly, `want`."""
  x, ildj, again, fldj = result
  tolerance = TOLERANCE[y.dtype]
  np.testing.assert_allclose(again, y, atol=tolerance, err_msg=way)
  assert ildj.shape == fldj.shape == want[1].shape, way
  assert x.dtype == ildj.dtype == y.dtype, way
  np.testing.assert_allclose(
      ildj, -fldj, atol=10 * tolerance, rtol=tolerance, err_msg=way)
  np.testing.assert_allclose(x, want[0], atol=tolerance, err_msg=way)
  np.testing.assert_allclose(
      ildj, want[1], atol=10 * tolerance, rtol=tolerance, err_msg=way)


def cases(is_slow):
  """Names and types, less those that show little more and take long."""
  return pytest.mark.parametrize('name,dtype', [
      pytest.param(
          name, dtype, id=f'{name}-{dtype.name}',
          marks=[pytest.mark.slow] if is_slow(name, dtype) else [])
      for name in NAMES for dtype in (tf.float32, tf.float64)])


# XLA has float32.
@cases(lambda name, dtype: dtype == tf.float32)
def test_inverse_undoes_forward_however_it_is_called(name, dtype):
  bijector = contract.make(name, dtype)
  conditions = contract.conditions_of(name, dtype)
  event_shape = contract.CASES[name].event_shape
  for batch_shape in ([3], [2, 3]):
    y = contract.data(name, dtype, batch_shape)
    want = there_and_back(bijector, y, conditions)
    assert want[1].shape == batch_shape
    assert_undone(want, want, y, 'eager')
    # A graph that knows no batch size, with and without samples; of whole
    # flows, with them alone.
    if batch_shape == [2, 3] or not name.startswith('glow'):
      in_graph = tf.function(
          lambda y: there_and_back(bijector, y, conditions),
          input_signature=[tf.TensorSpec(
              [None] * len(batch_shape) + list(event_shape), dtype)])
      assert_undone(in_graph(y), want, y, 'graph')


@cases(lambda name, dtype: dtype == tf.float64 or name in (
    'glow_additive_lu_classes', 'glow_shuffle_feature_map',
    'glow_reverse_context'))
def test_inverse_undoes_forward_in_xla(name, dtype):
  bijector = contract.make(name, dtype)
  conditions = contract.conditions_of(name, dtype)
  # In one type with samples, in the other without.
  y = contract.data(name, dtype, [2, 3] if dtype == tf.float32 else [3])
  want = there_and_back(bijector, y, conditions)
  in_xla = tf.function(
      lambda *a: there_and_back(bijector, *a), jit_compile=True)
  assert_undone(in_xla(y, conditions), want, y, 'xla')


@pytest.mark.parametrize('name', [
    n for n in NAMES if not contract.CASES[n].conditions])
def test_an_event_or_a_batch_of_one_gives_what_it_gives_in_a_batch(name):
  bijector = contract.make(name, tf.float64)
  y = contract.data(name, tf.float64, [3])
  x, log_det = bijector.inverse_and_log_det(y)
  for one, index in ((y[:1], slice(0, 1)), (y[0], 0)):
    x_one, log_det_one = bijector.inverse_and_log_det(one)
    np.testing.assert_allclose(x_one, x[index], atol=1e-12)
    np.testing.assert_allclose(log_det_one, log_det[index], rtol=1e-12)


@pytest.mark.parametrize('name', NAMES)
def test_log_dets_are_those_of_the_full_jacobian(name):
  bijector = contract.make(name, tf.float64)
  conditions = contract.conditions_of(name, tf.float64)
  y = contract.data(name, tf.float64, [3])
  x = tf.identity(bijector.inverse(y, **conditions))
  for function, log_det, value in (
      (bijector.inverse, bijector.inverse_log_det_jacobian, y),
      (bijector.forward, bijector.forward_log_det_jacobian, x)):
    want = np.linalg.slogdet(
        contract.jacobian(function, value, conditions))[1]
    event_ndims = len(value.shape) - 1
    got = log_det(tf.identity(value), event_ndims=event_ndims, **conditions)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


class Counting:
  """Counts how often a network is called."""

  def __init__(self, channels):
    self.network = keras.layers.Conv2D(channels, 1)
    self.calls = 0

  def __call__(self, kept):
    self.calls += 1
    return self.network(kept)


def counted_layers():
  """Two couplings and a factor-out, each with a counting network."""
  networks = [Counting(8), Counting(4), Counting(8)]
  reshape = tfp.bijectors.Reshape(event_shape_out=(2, 2, 4),
                                  event_shape_in=(16,))
  layers = [
      tg.Squeeze(), tg.ActNorm(8), tg.AffineCoupling(networks[0]),
      tg.AdditiveCoupling(networks[1], tg.ChannelHalves('second')),
      tg.FactorOut(reshape, networks[2])]
  return networks, layers


@pytest.mark.parametrize('make_chain', [tg.Chain, tfp.bijectors.Chain])
@pytest.mark.parametrize('in_graph', [False, True])
def test_one_log_prob_calls_each_network_once(make_chain, in_graph):
  networks, layers = counted_layers()
  base = tfd.Sample(tfd.Normal(0., 1.), [32])
  distribution = tfd.TransformedDistribution(base, make_chain(layers))
  y = tf.random.normal([3, 4, 4, 2])
  distribution.log_prob(tf.identity(y))  # builds the networks
  for network in networks:
    network.calls = 0
  log_prob = distribution.log_prob
  if in_graph:
    log_prob = tf.function(log_prob)
  log_prob(y)
  assert [n.calls for n in networks] == [1, 1, 1]


def test_one_log_det_or_sample_calls_a_network_once():
  network = Counting(2)
  coupling = tg.AffineCoupling(network)
  y = tf.random.normal([3, 2, 2, 2])
  coupling.inverse(tf.identity(y))
  for call in (
      lambda: coupling.inverse_log_det_jacobian(tf.identity(y), 3),
      lambda: coupling.forward_log_det_jacobian(tf.identity(y), 3),
      lambda: coupling.inverse_and_log_det(y),
      lambda: coupling.forward_and_log_det(y)):
    network.calls = 0
    call()
    assert network.calls == 1


@pytest.mark.parametrize('name', ['affine_sigmoid', 'actnorm', 'chain'])
def test_bijectors_of_equal_arguments_share_nothing(name):
  one, two = contract.make(name, tf.float32), contract.make(name, tf.float32)
  for variable in two.trainable_variables:
    variable.assign_add(tf.ones_like(variable))
  y = contract.data(name, tf.float32, [3])
  assert one != two
  x_one, x_two = one.inverse(y), two.inverse(y)
  assert np.abs(x_one - x_two).max() > 1e-3
  assert np.abs(one.inverse_log_det_jacobian(y, 3) -
                two.inverse_log_det_jacobian(y, 3)).max() > 1e-3

  @tf.function
  def both(y):
    return one.inverse(y), two.inverse(y)

  in_graph = both(y)
  np.testing.assert_allclose(in_graph[0], x_one, atol=1e-5)
  np.testing.assert_allclose(in_graph[1], x_two, atol=1e-5)


@pytest.mark.parametrize('in_graph', [False, True])
@pytest.mark.parametrize('name', ['actnorm', 'affine_sigmoid', 'scale'])
def test_updating_a_variable_changes_the_next_answer(name, in_graph):
  bijector = contract.make(name, tf.float32)
  y = contract.data(name, tf.float32, [3])
  ndims = len(contract.CASES[name].event_shape)

  def before_and_after(y):
    before = bijector.inverse(y), bijector.inverse_log_det_jacobian(y, ndims)
    for variable in bijector.trainable_variables:
      variable.assign_add(tf.ones_like(variable))
    after = bijector.inverse(y), bijector.inverse_log_det_jacobian(y, ndims)
    back = bijector.forward(after[0])
    return before, after, back

  if in_graph:
    before_and_after = tf.function(before_and_after)
  before, after, back = before_and_after(y)
  for old, new in zip(before, after):
    assert np.abs(new - old).max() > 1e-3
  np.testing.assert_allclose(back, y, atol=1e-5)
  # Here the log-determinant alone comes after the update.
  bijector.inverse(y)
  log_det = bijector.inverse_log_det_jacobian(y, ndims)
  bijector.trainable_variables[-1].assign_add(
      tf.ones_like(bijector.trainable_variables[-1]))
  want = bijector.inverse_log_det_jacobian(tf.identity(y), ndims)
  np.testing.assert_allclose(
      bijector.inverse_log_det_jacobian(y, ndims), want, rtol=1e-6)
  del log_det


@pytest.mark.parametrize('name', ['affine_sigmoid', 'chain', 'glow'])
def test_a_graph_is_freed_with_its_function(name):
  bijector = contract.make(name, tf.float32)
  function = tf.function(
      lambda y: there_and_back(bijector, y, {}), autograph=False)
  y = contract.data(name, tf.float32, [3])
  graph = weakref.ref(function.get_concrete_function(y).graph)
  log_prob = tf.function(tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), bijector.inverse_event_shape(y.shape[1:])),
      bijector).log_prob, autograph=False)
  other_graph = weakref.ref(log_prob.get_concrete_function(y).graph)
  assert graph() is not None and other_graph() is not None
  del function, log_prob
  gc.collect()
  assert graph() is None
  assert other_graph() is None


def test_what_was_computed_eagerly_is_freed_with_its_tensors():
  coupling = contract.make('affine_sigmoid', tf.float32)
  y = contract.data('affine_sigmoid', tf.float32, [3])
  x = coupling.inverse(y)
  log_det = coupling.inverse_log_det_jacobian(y, 3)
  assert len(coupling._cache.storage) > 0
  refs = [weakref.ref(t) for t in (x, y)]
  del x, y, log_det
  gc.collect()
  assert [ref() for ref in refs] == [None, None]
  assert not coupling._cache.weak_keys()
