"""Rows of layers: folded weights, and activations that are not stored."""

import dataclasses
import functools
import gc
import itertools
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import contract
import tfp_glow as tg
from tfp_glow import execution
from tfp_glow import networks
from tfp_glow.execution import plan

LAYERS = [
    'actnorm', 'batch_norm', 'batch_norm_checkerboard', 'batch_norm_half',
    'batch_norm_vector', 'invertible_conv', 'invertible_conv_lu', 'shuffle',
    'affine_sigmoid', 'affine_exp', 'affine_tanh_checkerboard',
    'affine_checkerboard_odd', 'additive', 'additive_checkerboard',
    'additive_even_odd', 'affine_feature_map', 'affine_context']


def gradients(bijector, value, sources=(), inverse=True, updates=None,
              **conditions):
  """Value, and gradients of value, conditions, sources and variables."""
  tensors = [value, *(c for c in conditions.values()
                      if tf.is_tensor(c) and c.dtype.is_floating), *sources]
  with tf.GradientTape() as tape:
    tape.watch(tensors)
    context = execution.Context.of(**conditions)
    context = dataclasses.replace(context, updates=updates)
    result, log_det = bijector.evaluate(value, inverse, context)
    # Every element and every image has its own weight.
    weights = tf.cos(tf.range(tf.size(result), dtype=result.dtype))
    loss = tf.reduce_sum(tf.reshape(result, [-1])**2 * weights)
    loss += tf.reduce_sum(tf.sin(log_det))
  variables = bijector.trainable_variables
  return [loss, *tape.gradient(loss, [*tensors, *variables],
                               unconnected_gradients='zero')]


def move(variables, deviation):
  """Takes variables from where they start, the same way every time."""
  generator = np.random.default_rng(0)
  for variable in variables:
    variable.assign_add(
        deviation * generator.standard_normal(variable.shape))


def assert_close(got, want, rtol):
  """All of them at once: some gradients are zero but for rounding."""
  got, want = ([np.asarray(v, np.float64).ravel() for v in values]
               for values in (got, want))
  assert [v.shape for v in got] == [v.shape for v in want]
  got, want = np.concatenate(got), np.concatenate(want)
  assert np.linalg.norm(want) > 1e-3
  assert np.linalg.norm(got - want) <= rtol * np.linalg.norm(want)


@pytest.mark.parametrize('inverse', [True, False])
@pytest.mark.parametrize('name', LAYERS)
def test_gradients_of_layers_are_those_of_stored_activations(name, inverse):
  layer = contract.make(name, tf.float64)
  conditions = contract.conditions_of(name, tf.float64)
  if name.startswith('batch_norm') and inverse:
    conditions['training'] = True
  y = contract.data(name, tf.float64, [3])
  # Twice the same layer: its gradients add up.
  stored, rebuilt = (
      gradients(tg.Chain([layer, layer], memory), y, inverse=inverse,
                **conditions)
      for memory in execution.MEMORY)
  assert_close(rebuilt, stored, 1e-12)


SYSTEMS = {
    'glow': (lambda **kwargs: tg.Glow(
        (4, 4, 2), levels=2, steps=3, width=3, seed=0, **kwargs), {}),
    'glow_additive_lu_classes': (lambda **kwargs: tg.Glow(
        (4, 4, 2), levels=2, steps=2, width=3, coupling='additive',
        permutation='lu', num_classes=3, seed=0, **kwargs), contract.LABEL),
    'glow_shuffle_feature_map': (lambda **kwargs: tg.Glow(
        (4, 4, 2), levels=2, steps=2, width=3, permutation='shuffle',
        feature_map_channels=1, seed=0, **kwargs), contract.FEATURE_MAP),
    'glow_reverse_context': (lambda **kwargs: tg.Glow(
        (4, 4, 2), levels=2, steps=2, width=3, permutation='reverse',
        context_size=2, seed=0, **kwargs), contract.CONTEXT),
    'real_nvp': (lambda **kwargs: tg.RealNVP(
        (4, 4, 2), width=3, residual_blocks=1, seed=0, **kwargs),
                 {'training': True}),
}


def make_system(name, dtype, memory):
  flow = SYSTEMS[name][0](dtype=dtype, memory=memory)
  move(flow.trainable_variables, .1)
  conditions = {
      k: v if isinstance(v, bool) else
      tf.constant(v, tf.int32 if k == 'label' else dtype)
      for k, v in SYSTEMS[name][1].items()}
  y = np.random.default_rng(1).uniform(-.5, .5, [3, 4, 4, 2])
  return flow, tf.constant(y, dtype), conditions


@functools.cache
def stored_gradients(name):
  flow, y, conditions = make_system(name, tf.float64, 'store')
  return gradients(flow, y, **conditions)


@pytest.mark.parametrize('name,way', [
    *((name, 'loop') for name in SYSTEMS if name != 'real_nvp'),
    pytest.param('real_nvp', 'graph', marks=pytest.mark.slow),
    ('glow', 'graph'), ('glow', 'eager'),
    ('glow_shuffle_feature_map', 'eager')])
def test_gradients_of_systems_are_those_of_stored_activations(
    name, way, monkeypatch):
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1 if way == 'loop' else 4)
  flow, y, conditions = make_system(name, tf.float64, 'recompute')
  assert flow.memory == 'recompute'
  call = functools.partial(gradients, flow, y, **conditions)
  if way != 'eager':
    call = tf.function(call, autograph=False)
  assert_close(call(), stored_gradients(name), 1e-11)


@pytest.mark.slow
def test_float32_gradients_agree_over_32_steps():
  results = []
  for memory in execution.MEMORY:
    flow = tg.Glow((4, 4, 2), levels=1, steps=32, width=8, memory=memory,
                   seed=0)
    y = tf.random.stateless_uniform([8, 4, 4, 2], [0, 0]) - .5
    flow.initialize(y)
    move(flow.trainable_variables, .01)
    call = functools.partial(likelihood_gradients, flow, y)
    # A graph that stores takes long to trace.
    results.append(call() if memory == 'store' else tf.function(
        call, autograph=False)())
  assert_close(results[1], results[0], 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('scale,kept', [
    ('tanh', ['first']), ('sigmoid', ['first', 'second'])])
def test_couplings_that_differ_in_more_than_weights_are_told_apart(
    scale, kept, monkeypatch):
  """A scale that has a variable, and halves that alternate."""
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1)
  y = tf.random.stateless_normal([2, 4, 4, 4], [0, 0], dtype=tf.float64)
  results = []
  for memory in execution.MEMORY:
    couplings = []
    for k in range(2 * (plan.MOST_UNROLLED + 1)):
      network = networks.GlowNetwork(
          4, 4, interleaved=True, seed=k, dtype='float64')
      network.build((None, 4, 4, 2))
      couplings.append(tg.bijectors.AffineCoupling(
          network, tg.bijectors.ChannelHalves(kept[k % len(kept)]), scale,
          initial_rescale=.5, dtype=tf.float64))
    chain = tg.bijectors.Chain(couplings, memory)
    move(chain.trainable_variables, .1)
    call = functools.partial(gradients, chain, y)
    results.append(call() if memory == 'store' else tf.function(
        call, autograph=False)())
  assert_close(results[1], results[0], 1e-9)


def likelihood_gradients(flow, y):
  """Gradients of the loss of training: rounding of values drops out."""
  with tf.GradientTape() as tape:
    z, log_det = flow.inverse_and_log_det(y)
    loss = tf.reduce_mean(tf.reduce_sum(z**2, axis=-1) / 2. - log_det)
  return tape.gradient(loss, flow.trainable_variables)


class Module(tf.Module):
  """A network that is a `tf.Module`."""

  def __init__(self):
    super().__init__()
    self.kernel = tf.Variable(.1 * contract.data('actnorm', tf.float64, [])[
        :1, :1, :])

  def __call__(self, kept):
    return tf.tanh(kept * self.kernel)


def networks_of_ones_own():
  variable = tf.Variable([.2, -.1], dtype=tf.float64)
  return {
      'module': Module(),
      'function': lambda kept: tf.tanh(kept * variable),
      'tf.function': tf.function(lambda kept: tf.sin(kept * variable)),
      'keras': keras.Sequential(
          [keras.layers.Conv2D(2, 3, padding='same', dtype='float64')]),
      'batch_norm': keras.Sequential([
          keras.layers.BatchNormalization(dtype='float64'),
          keras.layers.Conv2D(2, 1, dtype='float64')]),
  }, [variable]


@pytest.mark.parametrize(
    'name', ['module', 'function', 'tf.function', 'keras', 'batch_norm'])
def test_networks_of_ones_own_have_the_same_gradients(name):
  all_networks, sources = networks_of_ones_own()
  layers = [
      tg.AffineCoupling(all_networks[name], dtype=tf.float64),
      tg.InvertibleConv(2, seed=0, dtype=tf.float64),
      tg.AffineCoupling(all_networks[name], dtype=tf.float64)]
  y = contract.data('affine_sigmoid', tf.float64, [3])
  stored, rebuilt = (
      tf.function(functools.partial(
          gradients, tg.Chain(layers, memory), y, sources,
          training=name == 'batch_norm'), autograph=False)()
      for memory in execution.MEMORY)
  if 'function' in name:
    assert np.abs(stored[2]).min() > 1e-3  # TFP does not see its variable
  assert_close(rebuilt, stored, 1e-12)


def test_second_derivatives_are_those_of_stored_activations():
  layers = [contract.make(name, tf.float64)
            for name in ('affine_sigmoid', 'actnorm', 'affine_exp')]
  y = contract.data('actnorm', tf.float64, [3])
  results = []
  for memory in execution.MEMORY:
    with tf.GradientTape() as tape:
      tape.watch(y)
      first = gradients(tg.Chain(layers, memory), y)
    results.append([*first, tape.gradient(first[1], y)])
  assert_close(results[1], results[0], 1e-10)


def logging_chain(memory):
  """Four couplings that write down when their networks are evaluated."""
  log = []

  def network(k):
    @tf.custom_gradient
    def call(kept):
      def note(what, value):
        log.append((what, k))
        return value

      def gradient(upstream):
        return tf.numpy_function(
            lambda v: note('gradient', v), [upstream], upstream.dtype)

      value = tf.numpy_function(
          lambda v: note('value', v), [kept], kept.dtype)
      value.set_shape(kept.shape)
      return value, gradient
    return call

  return log, tg.Chain(
      [tg.AdditiveCoupling(network(k)) for k in range(4)], memory)


@pytest.mark.parametrize('way', ['eager', 'graph'])
def test_the_gradient_takes_one_evaluation_more_one_layer_at_a_time(way):
  log, chain = logging_chain('recompute')
  y = contract.data('actnorm', tf.float32, [3])
  call = functools.partial(gradients, chain, y)
  (call if way == 'eager' else tf.function(call, autograph=False))()
  forwards = [('value', k) for k in range(4)]
  backwards = list(itertools.chain.from_iterable(
      [('value', k), ('gradient', k)] for k in reversed(range(4))))
  assert log == forwards + backwards
  log, chain = logging_chain('store')
  chain.inverse_and_log_det(y)
  assert log == forwards


@pytest.mark.parametrize('memory', execution.MEMORY)
def test_activations_are_kept_in_one_mode_only(memory):
  hidden = []

  def network(kept):
    hidden.append(tf.tanh(kept))
    return hidden[-1]**2

  chain = tg.Chain([tg.AdditiveCoupling(network) for _ in range(3)], memory)
  y = contract.data('actnorm', tf.float32, [3])
  with tf.GradientTape() as tape:
    tape.watch(y)
    x, _ = chain.inverse_and_log_det(y)
  refs = [weakref.ref(h) for h in hidden]
  hidden.clear()
  gc.collect()
  assert [r() is not None for r in refs] == [memory == 'store'] * 3
  tape.gradient(x, y)


def test_a_graph_with_a_gradient_is_freed_with_its_function():
  flow, y, _ = make_system('glow', tf.float32, 'recompute')
  function = tf.function(lambda: gradients(flow, y), autograph=False)
  graph = weakref.ref(function.get_concrete_function().graph)
  assert graph() is not None
  del function
  gc.collect()
  assert graph() is None


def test_running_averages_move_once_a_step():
  flow, y, _ = make_system('real_nvp', tf.float32, 'store')
  other, _, _ = make_system('real_nvp', tf.float32, 'recompute')
  for system in (flow, other):
    updates = execution.Updates()
    gradients(system, y, training=True, updates=updates)
    updates.apply_where(True)
  for one, two in zip(flow.non_trainable_variables,
                      other.non_trainable_variables):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_alike_layers_are_folded_together_and_others_apart():
  layers = []
  for width in (3, 3, 5):
    network = tg.networks.GlowNetwork(4, width, seed=0)
    network.build((None, 4, 4, 2))
    layers += [tg.ActNorm(4), tg.InvertibleConv(4, seed=width),
               tg.AffineCoupling(network)]
  layers += [tg.InvertibleConv(4, seed=1), tg.ActNorm(4)]
  move([v for layer in layers for v in layer.trainable_variables], .1)
  y = contract.data('actnorm', tf.float32, [3])
  y = tf.concat([y, y + 1.], axis=-1)
  chain = tg.Chain(layers)
  x, log_det = chain.inverse_and_log_det(y)
  one_by_one, total = y, 0.
  for layer in layers:
    one_by_one, by_layer = layer.inverse_and_log_det(one_by_one)
    total += by_layer
  np.testing.assert_allclose(x, one_by_one, atol=1e-5)
  np.testing.assert_allclose(log_det, total, rtol=1e-5)
  back, back_log_det = chain.forward_and_log_det(x)
  np.testing.assert_allclose(back, y, atol=1e-5)
  np.testing.assert_allclose(back_log_det, -log_det, rtol=1e-4)
  # One decomposition for all plain matrices of a kind of group.
  traced = tf.function(chain.inverse).get_concrete_function(y)
  assert [op.type for op in traced.graph.get_operations()].count('Qr') == 2


def test_memory_is_one_of_two():
  with pytest.raises(ValueError, match="`memory` must be one of .*'disk'"):
    tg.Chain([tg.ActNorm(2)], memory='disk')
  with pytest.raises(ValueError, match="`memory` must be one of .*'disk'"):
    tg.Glow((4, 4, 1), levels=1, steps=1, memory='disk')


@pytest.mark.parametrize('memory,grows', [('store', True),
                                          ('recompute', False)])
def test_a_graph_that_rebuilds_loops_over_alike_steps(memory, grows):
  def num_convolutions(steps):
    flow = tg.Glow((4, 4, 2), levels=1, steps=steps, width=3, memory=memory,
                   seed=0)
    y = tf.zeros([3, 4, 4, 2])
    function = tf.function(lambda: gradients(flow, y), autograph=False)
    graph = function.get_concrete_function().graph.as_graph_def()
    nodes = itertools.chain(graph.node, *(
        function.node_def for function in graph.library.function))
    return sum(node.op.startswith('Conv2D') for node in nodes)

  assert (num_convolutions(10) > num_convolutions(9)) == grows
