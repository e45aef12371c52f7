"""What a layer of one's own gets, and what no evaluation loses."""

import ast
import concurrent.futures
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tfp_glow import execution
from tfp_glow.execution import plan

FOLDER = pathlib.Path(execution.__file__).parent
Y = np.random.default_rng(0).standard_normal((3, 4, 4, 2))


def test_execution_knows_no_layer():
  for path in FOLDER.glob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.ImportFrom):
        assert node.module in ('tfp_glow', 'tfp_glow.execution') or (
            not node.module.startswith('tfp_glow') or
            node.module.startswith('tfp_glow.execution')), (path, node.module)


def test_private_modules_are_imported_in_one_file():
  private = ('tensorflow.python', 'python.internal', 'tf.__internal__',
             'keras.src')
  naming = {path.name for path in FOLDER.parent.rglob('*.py')
            if any(name in path.read_text() for name in private)}
  assert naming == {'tf_internals.py'}


class Sinh(tg.FlowBijector):
  """A layer of one's own: two formulas."""

  def __init__(self):
    super().__init__(dtype=tf.float64)
    self.slope = tf.Variable(.3, dtype=tf.float64)

  def _inverse_and_log_det(self, y):
    x = tf.sinh(self.slope * y)
    return x, tf.reduce_sum(tf.math.log(
        self.slope * tf.cosh(self.slope * y)), [-3, -2, -1])

  def _forward_and_log_det(self, x):
    y = tf.asinh(x) / self.slope
    return y, -self._inverse_and_log_det(y)[1]


def value_and_gradients(chain, y, sources, jit_compile=None):
  def compute():
    with tf.GradientTape() as tape:
      tape.watch([s for s in sources if not isinstance(s, tf.Variable)])
      x, log_det = chain.inverse_and_log_det(y)
      loss = tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(log_det)
    return [loss, *tape.gradient(loss, sources)]

  if jit_compile is None:
    return compute()
  return tf.function(compute, autograph=False, jit_compile=jit_compile)()


@pytest.mark.parametrize('jit_compile', [None, False, True])
def test_a_layer_of_ones_own_reconstructs(jit_compile):
  layers = [Sinh(), tg.InvertibleConv(2, seed=0, dtype=tf.float64), Sinh()]
  y = tf.constant(Y)
  sources = [y, *(layer.slope for layer in (layers[0], layers[2]))]
  stored, rebuilt = (value_and_gradients(
      tg.Chain(layers, memory), y, sources, jit_compile)
                     for memory in execution.MEMORY)
  for one, other in zip(stored, rebuilt):
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(other, one, rtol=1e-9)
  chain = tg.Chain(layers, 'recompute')
  assert [type(part).__name__ for part in chain.parts()] == ['Segment']


@pytest.mark.parametrize('jit_compile', [None, False, True])
@pytest.mark.parametrize('kind', ['tensor', 'variable', 'made_in_the_graph'])
def test_what_a_network_closes_over_has_its_gradient(kind, jit_compile):
  w = tf.constant(.5, tf.float64)
  if kind == 'variable':
    w = tf.Variable(w, trainable=False)
  y = tf.ones([1, 2], tf.float64)
  results = []
  for memory in execution.MEMORY:
    def compute(memory=memory):
      with tf.GradientTape() as tape:
        tape.watch(w)
        inner = 2. * w if kind == 'made_in_the_graph' else w
        chain = tg.Chain([tg.AdditiveCoupling(
            lambda kept: tf.tanh(inner * kept), event_ndims=1,
            dtype=tf.float64)] * 2, memory)
        loss = tf.reduce_sum(chain.inverse(y)**2)
      return tape.gradient(loss, w)
    results.append(compute() if jit_compile is None else tf.function(
        compute, autograph=False, jit_compile=jit_compile)())
  assert abs(results[0]) > .1
  np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.fixture
def scanned(monkeypatch):
  """Has few steps scanned, as many are."""
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1)


def glow(memory):
  flow = tg.Glow((4, 4, 2), levels=2, steps=3, width=3, seed=0, memory=memory,
                 dtype=tf.float64)
  generator = np.random.default_rng(1)
  for variable in flow.trainable_variables:
    variable.assign_add(.05 * generator.standard_normal(variable.shape))
  return flow


@pytest.mark.parametrize('way', ['eager', 'graph'])
def test_forward_mode_is_that_of_stored_activations(way, scanned):
  results = []
  for memory in execution.MEMORY:
    flow = glow(memory)

    def compute(flow=flow):
      y = tf.constant(Y)
      with tf.autodiff.ForwardAccumulator(y, tf.cos(y)) as accumulator:
        x, log_det = flow.inverse_and_log_det(y)
        loss = tf.reduce_sum(x**2) - tf.reduce_sum(log_det)
      return accumulator.jvp(loss)
    # That of stored activations needs no graph.
    results.append(tf.function(compute, autograph=False)()
                   if (way, memory) == ('graph', 'recompute') else compute())
  assert abs(results[0]) > 1e-3
  np.testing.assert_allclose(results[1], results[0], rtol=1e-9)


def test_forward_mode_over_a_weight(scanned):
  results = []
  for memory in execution.MEMORY:
    flow = glow(memory)
    weight = flow.bijectors[1].shift.stack
    with tf.autodiff.ForwardAccumulator(
        weight, tf.ones_like(weight)) as accumulator:
      loss = tf.reduce_sum(flow.inverse(Y)**2)
    results.append(accumulator.jvp(loss))
  assert abs(results[0]) > 1e-3
  np.testing.assert_allclose(results[1], results[0], rtol=1e-9)


def test_a_weight_that_is_nan_gives_nan():
  scale = tg.Scale(1)
  scale.log_scale.assign([np.nan])
  assert np.isnan(scale.inverse_log_det_jacobian(tf.zeros([1, 1])))
  assert np.isnan(scale.forward_log_det_jacobian(tf.zeros([1, 1])))


def test_threads_share_a_tensor_and_a_weight():
  scale = tg.Scale(2)
  distribution = tfp.distributions.TransformedDistribution(
      tfp.distributions.Sample(tfp.distributions.Normal(0., 1.), [2]), scale)
  y = tf.ones([64, 2])

  def ask(k):
    if k % 4 == 0:
      scale.log_scale.assign([.1 * k, 0.])
    return distribution.log_prob(y)

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for log_prob in pool.map(ask, range(400)):
      assert np.isfinite(log_prob).all()


def test_threads_have_each_their_own_precision():
  policy = keras.DTypePolicy('mixed_bfloat16')
  network = keras.Sequential([
      keras.layers.Conv2D(8, 3, padding='same', activation='tanh',
                          dtype=policy, kernel_initializer='random_normal'),
      keras.layers.Conv2D(2, 3, padding='same', dtype=policy,
                          kernel_initializer='random_normal')])
  coupling = tg.AffineCoupling(network)
  y = Y.astype(np.float32)
  want = {training: coupling.inverse(tf.constant(y), training=training)
          for training in (False, True)}
  assert np.abs(want[True] - want[False]).max() > 1e-5
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    results = pool.map(lambda k: (k % 2 == 0, coupling.inverse(
        tf.constant(y), training=k % 2 == 0)), range(60))
    for training, x in results:
      np.testing.assert_array_equal(x, want[training])


def test_copies_share_variables():
  flow = tg.Glow((4, 4, 1), levels=1, steps=1, width=2, seed=0)
  copied = flow.copy(name='other')
  assert copied.name == 'other' and flow.name == 'glow'
  assert {id(v) for v in copied.variables} == {id(v) for v in flow.variables}
  y = Y[..., :1].astype(np.float32)
  np.testing.assert_array_equal(copied.inverse(y), flow.inverse(y))
  np.testing.assert_array_equal(flow[...].inverse(y), flow.inverse(y))
  with pytest.raises(TypeError, match='`width`'):
    flow.copy(width=3)


def test_shapes_that_are_not_known_stay_unknown():
  flow = tg.Glow((4, 4, 2), levels=2, steps=1, width=2)
  assert flow.inverse_event_shape(tf.TensorShape(None)).rank is None
  assert flow.forward_event_shape([32]) == [4, 4, 2]
  assert flow.inverse_event_shape([None, None, 2]).rank == 1
  assert flow.forward_event_shape([None]).rank == 3
  x = tf.function(flow.inverse, input_signature=[
      tf.TensorSpec([None, None, None, 2])])(Y.astype(np.float32))
  assert x.shape == [3, 32]


def test_batch_norm_takes_an_empty_batch():
  norm = tg.BatchNorm(2)
  x, log_det = norm.inverse_and_log_det(tf.zeros([0, 4, 4, 2]))
  assert x.shape == [0, 4, 4, 2] and log_det.shape == [0]


def test_pixels_of_numpy_are_refused_as_those_of_tensorflow_are():
  flow = tg.Glow((4, 4, 2), levels=1, steps=1, width=2)
  pixels = np.zeros([3, 4, 4, 2], np.uint8)
  for images in (pixels, tf.constant(pixels), pixels.astype(int)):
    with pytest.raises(TypeError, match='`y` of glow has dtype .*int'):
      flow.inverse(images)
    with pytest.raises(TypeError, match='`y` of glow has dtype .*int'):
      flow.inverse_and_log_det(images)
  assert tg.Scale(2).inverse([1, 2]).dtype == tf.float32


def test_every_layer_takes_training():
  chain = tg.Chain([tg.Squeeze(), tg.ActNorm(8), Squared()])
  chain.inverse_and_log_det(Y.astype(np.float32), training=True)


class Squared(tg.FlowBijector):
  """A layer that knows nothing of a mode."""

  def _inverse_and_log_det(self, y):
    return y, tf.zeros([])

  def _forward_and_log_det(self, x):
    return x, tf.zeros([])


def test_alike_steps_have_one_variable_each():
  one, many = (tg.Glow((8, 8, 2), levels=2, steps=steps, width=3, seed=0)
               for steps in (1, 5))
  assert len(one.variables) == len(many.variables)
  shift = many.bijectors[1].shift
  assert shift.stack.shape == [5, 8] and shift.shape == [8]
  shift.assign(np.ones(8))
  np.testing.assert_array_equal(shift.stack[:, 0], [1., 0., 0., 0., 0.])
  names = [v.name for v in many.variables]
  assert len(set(names)) == len(names)


class Served(tf.Module):
  """A module of one's own that holds a flow."""

  def __init__(self, flow):
    super().__init__()
    self.flow = flow

  @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 2])])
  def inverse(self, images):
    return self.flow.inverse(images)


def test_stacked_weights_are_saved_by_tensorflow(tmp_path):
  flow = tg.Glow((4, 4, 2), levels=1, steps=2, width=3, seed=0)
  module = Served(flow)
  y = Y.astype(np.float32)
  want = module.inverse(y)
  tf.saved_model.save(module, tmp_path / 'module')
  loaded = tf.saved_model.load(tmp_path / 'module')
  np.testing.assert_array_equal(loaded.inverse(y), want)
  tf.saved_model.save(tg.FlowModel(flow), tmp_path / 'model')

  checkpoint = tf.train.Checkpoint(flow=flow)
  path = checkpoint.save(tmp_path / 'checkpoint')
  for variable in flow.variables:
    variable.assign(tf.ones_like(variable))
  checkpoint.restore(path).assert_consumed()
  np.testing.assert_array_equal(flow.inverse(y), want)
