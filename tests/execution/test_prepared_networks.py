"""Networks of one's own that derive from one whose weights are prepared."""

import functools

import pytest
import tensorflow as tf

from tests import contract
from tests.execution import test_segments
import tfp_glow as tg
from tfp_glow import execution
from tfp_glow.execution import plan


class Offset(tg.networks.GlowNetwork):
  """A network with a `call` of its own, which reads one variable more."""

  def build(self, kept_shape):
    super().build(kept_shape)
    self.offset = self.add_weight(
        shape=[], name='offset', initializer='zeros')

  def call(self, kept):
    return super().call(kept) + self.offset


@pytest.fixture(autouse=True, name='most_unrolled')
def scan_over_two_steps(monkeypatch):
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1)


def test_a_network_with_a_call_of_its_own_is_called():
  results = []
  for memory in execution.MEMORY:
    layers = []
    for k in range(plan.MOST_UNROLLED + 1):
      network = Offset(4, 3, seed=k, dtype='float64')
      network.build((None, 4, 2, 2))
      layers.append(tg.AffineCoupling(network, dtype=tf.float64))
    chain = tg.Chain(layers, memory)
    test_segments.move(chain.trainable_variables, .1)
    y = contract.data('actnorm', tf.float64, [3])
    y = tf.concat([y, y], axis=-1)
    results.append(tf.function(functools.partial(
        test_segments.gradients, chain, y), autograph=False)())
  test_segments.assert_close(results[1], results[0], 1e-10)


class Secretive(tg.networks.GlowNetwork):
  """A network that reads a variable in `apply` and does not list it."""

  def build(self, kept_shape):
    super().build(kept_shape)
    self.offset = tf.Variable(0.)

  def apply(self, prepared, kept, *conditions, **kwargs):
    return super().apply(prepared, kept, *conditions, **kwargs) + self.offset


def test_a_scan_over_a_network_that_reads_a_variable_is_an_error():
  layers = []
  for _ in range(plan.MOST_UNROLLED + 1):
    network = Secretive(4, 3, seed=0)
    network.build((None, 4, 2, 2))
    layers.append(tg.AffineCoupling(network))
  y = tf.zeros([3, 4, 2, 4])
  function = tf.function(lambda: test_segments.gradients(
      tg.Chain(layers, 'recompute'), y), autograph=False)
  with pytest.raises(ValueError, match='reads the variable'):
    function()
