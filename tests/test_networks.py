"""The networks of couplings: RealNVP's and NICE's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_glow import execution
from tfp_glow import networks
from tfp_glow.bijectors import conditioner

X = np.random.default_rng(0).standard_normal((5, 6, 4, 3))


def randomise(layer, seed=0):
  """Moves every weight off its initial value."""
  generator = np.random.default_rng(seed)
  for variable in layer.variables:
    noise = generator.standard_normal(variable.shape)
    if 'running_variance' in variable.name:
      variable.assign(np.exp(.3 * noise))
    else:
      variable.assign(variable.numpy() + .2 * noise)
  return layer


def convolve(x, kernel, bias=0.):
  """The sum that a convolution is, tap by tap."""
  size = kernel.shape[0]
  pad = size // 2
  height, width = x.shape[1:3]
  padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
  return bias + sum(
      padded[:, row:row + height, column:column + width] @ kernel[row, column]
      for row in range(size) for column in range(size))


def by_hand(network, kept, mask, conditions, training):
  """`ResidualNetwork`, written out from the paper's program."""
  moved = []

  def norm(layer, x):
    mean, variance = layer.running_mean.numpy(), layer.running_variance.numpy()
    if training:
      batch = x.mean((0, 1, 2)), x.var((0, 1, 2))
      moved.append([(layer.running_mean, .9 * mean + .1 * batch[0]),
                    (layer.running_variance, .9 * variance + .1 * batch[1])])
      mean, variance = batch
    return (x - mean) / np.sqrt(variance + 1e-4) + layer.offset.numpy()

  def conv(layer, x):
    kernel = layer.kernel.numpy()
    kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2)))
    if layer.magnitude is not None:
      kernel = kernel * layer.magnitude.numpy()
    return convolve(x, kernel, 0. if layer.bias is None else (
        layer.bias.numpy()))

  def relu(x):
    return np.maximum(x, 0.)

  x = norm(network.norm_in, kept)
  if mask is None:
    h = relu(np.concatenate([x, -x], axis=-1))
  else:
    x = 2. * x
    h = relu(np.concatenate([x, -x, mask], axis=-1))
  h = conv(network.conv_in, np.concatenate([h, *conditions], axis=-1))
  total = conv(network.skip_in, h)
  for block, skip in zip(network.blocks, network.skips):
    r = conv(block.conv_1, relu(norm(block.norm_in, h)))
    h = h + conv(block.conv_out, relu(norm(block.norm_1, r)))
    total = total + conv(skip, h)
  y = conv(network.conv_out, relu(norm(network.norm_out, total)))
  return y, [pair for pairs in moved for pair in pairs]


def checkerboard(kept):
  rows, columns = np.indices((6, 4))
  even = ((rows + columns) % 2 == 0).astype(float)
  mask = even if kept == 'even' else 1. - even
  return np.broadcast_to(mask[..., None], (5, 6, 4, 1))


def updated(network, x):
  """Moves the running averages of a network as a step of training does."""
  updates = execution.Updates()
  conditioner.Conditioner(network)(
      tf.constant(x), 3, context=execution.Context(True, updates))
  updates.apply_where(True)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('kept,blocks', [(None, 3), ('even', 2), ('odd', 1)])
def test_residual_network_is_that_of_the_program(kept, blocks, training):
  network = networks.ResidualNetwork(
      6, width=4, residual_blocks=blocks, checkerboard=kept, seed=0,
      dtype='float64')
  network.build((None, 6, 4, 3))
  randomise(network)
  mask = None if kept is None else checkerboard(kept)
  x = X if kept is None else X * mask
  want, moved = by_hand(network, x, mask, [], training)
  np.testing.assert_allclose(
      network(x, training=training), want, atol=1e-12)
  if training:
    assert len(moved) == 2 * (2 + 2 * blocks)
    updated(network, x)
    for variable, value in moved:
      np.testing.assert_allclose(variable, value, atol=1e-12)


def test_conditions_are_appended_as_they_are():
  network = networks.ResidualNetwork(
      6, width=4, residual_blocks=1, checkerboard='odd', seed=0,
      dtype='float64')
  generator = np.random.default_rng(1)
  feature_map = generator.standard_normal((5, 6, 4, 2))
  context = generator.standard_normal((5, 3))
  network(X, feature_map, context)  # builds it
  randomise(network)
  spread = np.broadcast_to(context[:, None, None], (5, 6, 4, 3))
  want, _ = by_hand(
      network, X, checkerboard('odd'), [feature_map, spread], False)
  np.testing.assert_allclose(
      network(X, feature_map, context), want, atol=1e-12)


def test_weight_norm_does_not_see_the_length_of_a_kernel():
  conv = networks.WeightNormConv2D(4, 3, seed=0, dtype='float64')
  before = conv(X)
  conv.kernel.assign(conv.kernel * [1., 10., .1, 3.])
  np.testing.assert_allclose(conv(X), before, rtol=1e-12)
  conv.magnitude.assign(2. * conv.magnitude)
  np.testing.assert_allclose(conv(X), 2. * before, rtol=1e-12)
  conv.bias.assign([1., 2., 3., 4.])
  np.testing.assert_allclose(
      conv(X), 2. * before + [1., 2., 3., 4.], rtol=1e-12)
  bare = networks.WeightNormConv2D(
      4, 3, use_magnitude=False, use_bias=False, dtype='float64')
  bare.build((None, 6, 4, 3))
  assert [v.name for v in bare.variables] == ['kernel']


def test_moments_move_in_training_where_somebody_takes_updates():
  norm = networks.OffsetBatchNorm(dtype='float64')
  norm.build(X.shape)
  norm.offset.assign([1., 2., 3.])
  x = 3. + 2. * X
  want = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-4)
  np.testing.assert_allclose(
      norm(x, training=True), want + [1., 2., 3.], atol=1e-12)
  assert not norm.running_mean.numpy().any()
  assert (norm.running_variance.numpy() == 1.).all()
  updates = execution.Updates()
  norm.apply(x, execution.Context(updates=updates), 'float64')
  assert not updates.pairs
  norm.apply(x, execution.Context(True, updates), 'float64')
  updates.apply_where(True)
  np.testing.assert_allclose(norm.running_mean, .1 * x.mean((0, 1, 2)))
  np.testing.assert_allclose(
      norm.running_variance, .9 + .1 * x.var((0, 1, 2)))
  mean, variance = norm.running_mean.numpy(), norm.running_variance.numpy()
  np.testing.assert_allclose(
      norm(x), (x - mean) / np.sqrt(variance + 1e-4) + [1., 2., 3.],
      atol=1e-12)
  assert {v.name for v in norm.trainable_variables} == {'offset'}


def test_work_on_weights_is_done_in_their_precision():
  policy = keras.DTypePolicy('mixed_bfloat16')
  network = networks.ResidualNetwork(
      6, width=4, residual_blocks=1, checkerboard='even', seed=0,
      dtype=policy)
  plain = networks.ResidualNetwork(
      6, width=4, residual_blocks=1, checkerboard='even', seed=0)
  x = X.astype(np.float32)
  y, want = network(x), plain(x)
  assert y.dtype == tf.bfloat16
  assert {v.dtype for v in network.variables} == {'float32'}
  difference = np.abs(tf.cast(y, tf.float32) - want)
  assert 1e-4 < difference.max() < .1
  conv = networks.WeightNormConv2D(4, 3, seed=0, dtype=policy)
  y = conv(x)
  kernel = conv.kernel.numpy()
  kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2))) * (
      conv.magnitude.numpy())
  want = tf.nn.conv2d(
      tf.cast(x, tf.bfloat16), tf.cast(kernel, tf.bfloat16), 1, 'SAME')
  np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize('layer', [
    networks.WeightNormConv2D(4, 3, use_magnitude=False, use_bias=False,
                              seed=3),
    networks.OffsetBatchNorm(momentum=.5, epsilon=.1),
    networks.ResidualBlock(3, seed=3),
    networks.ResidualNetwork(2, width=4, residual_blocks=1,
                             checkerboard='odd', seed=3),
    networks.DenseNetwork(2, width=4, hidden_layers=1, seed=3),
], ids=lambda layer: layer.name)
def test_keras_rebuilds_each_from_its_config(layer):
  config = keras.saving.serialize_keras_object(layer)
  again = keras.saving.deserialize_keras_object(config)
  assert type(again) is type(layer)
  assert again.get_config() == layer.get_config()
  x = X.astype(np.float32)
  np.testing.assert_array_equal(again(x), layer(x))


def test_a_seed_is_for_each_kernel_another():
  one, two = [networks.ResidualNetwork(2, width=4, residual_blocks=2, seed=3)
              for _ in range(2)]
  for network in (one, two):
    network.build((None, 6, 4, 3))
  kernels = [v.numpy() for v in one.variables if v.name == 'kernel']
  assert len(kernels) == 1 + 1 + 2 * 3 + 1
  for a, b in zip(one.variables, two.variables):
    np.testing.assert_array_equal(a, b)
  for shape in ((3, 3, 4, 4), (1, 1, 4, 4)):
    alike = [k for k in kernels if k.shape == shape]
    assert len({k.tobytes() for k in alike}) == len(alike) > 2


def test_a_checkerboard_is_even_or_odd():
  with pytest.raises(ValueError, match="`checkerboard` must be 'even'"):
    networks.ResidualNetwork(2, checkerboard='black')


def test_a_residual_network_has_a_block():
  with pytest.raises(ValueError, match='`residual_blocks` must be at least 1'):
    networks.ResidualNetwork(2, residual_blocks=0)


@pytest.mark.parametrize('size', [(1, 1), (1, 5), (3, 2)])
def test_a_channel_marks_the_edge_whether_sizes_are_known_or_not(size):
  network = networks.ZeroConv2D(4, dtype='float64')
  network.build((None, *size, 3))
  randomise(network)
  x = np.random.default_rng(1).standard_normal((2, *size, 3))
  padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 1)])
  padded[..., -1] = 1.
  padded[:, 1:-1, 1:-1, -1] = 0.
  want = convolve(padded, network.kernel.numpy())[:, 1:-1, 1:-1]
  want = (want + network.bias.numpy()) * np.exp(3. * network.log_scale.numpy())
  np.testing.assert_allclose(network(x), want, atol=1e-12)
  unknown = tf.function(network, input_signature=[
      tf.TensorSpec([None, None, None, 3], tf.float64)])
  np.testing.assert_allclose(unknown(x), want, atol=1e-12)
