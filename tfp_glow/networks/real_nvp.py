"""RealNVP's networks: Dinh, Sohl-Dickstein and Bengio, 2016."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import normalization
from tfp_glow import replicas
from tfp_glow.execution import context as context_lib
from tfp_glow.networks import convolution
from tfp_glow.networks import prepared_network


@keras.saving.register_keras_serializable('tfp_glow')
class WeightNormConv2D(prepared_network.PreparedNetwork):
  """RealNVP's convolution with weight normalisation.

  ```none
  y = conv(x, magnitude * kernel / |kernel|) + bias
  ```

  with the norm taken over height, width and input channels, for each output
  channel.

  #### Examples

  >>> conv = networks.WeightNormConv2D(5, 3, seed=0)
  >>> conv(tf.ones([1, 8, 8, 2])).shape
  TensorShape([1, 8, 8, 5])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 4.1 and the authors' program.
       https://arxiv.org/abs/1605.08803
  """

  def __init__(self, filters: int, kernel_size: int, use_magnitude: bool = True,
               use_bias: bool = True, seed: int | None = None, **kwargs: Any):
    """Makes a network of a given shape.

    Args:
      filters: Python `int`, number of output channels.
      kernel_size: Python `int`, height and width of the kernel.
      use_magnitude: Python `bool`, whether each output channel has a learned
        magnitude, or 1. Default value: `True`.
      use_bias: Python `bool`, whether there is a bias. Default value: `True`.
      seed: Python `int` or `None`, of the kernel. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.filters = filters
    self.kernel_size = kernel_size
    self.use_magnitude = use_magnitude
    self.use_bias = use_bias
    self.seed = seed

  def build(self, input_shape):
    limit = math.sqrt(2. / input_shape[-1])
    self.kernel = self.add_weight(
        shape=[self.kernel_size, self.kernel_size, input_shape[-1],
               self.filters],
        name='kernel', autocast=False,
        initializer=keras.initializers.RandomUniform(
            -limit, limit, self.seed))
    self.magnitude = self.bias = None
    if self.use_magnitude:
      # What the norm of such a kernel is, about.
      self.magnitude = self.add_weight(
          shape=[self.filters], name='magnitude', autocast=False,
          initializer=keras.initializers.Constant(
              self.kernel_size / math.sqrt(6.)))
    if self.use_bias:
      self.bias = self.add_weight(
          shape=[self.filters], name='bias', autocast=False,
          initializer='zeros')
    super().build(input_shape)

  def prepare(self, weights, event_shape=None):
    kernel, *rest = weights
    # `tf.math.l2_normalize` and the magnitude would be two passes over it.
    scale = tf.math.rsqrt(tf.maximum(
        tf.reduce_sum(tf.square(kernel), axis=[-4, -3, -2]), 1e-12))
    if self.use_magnitude:
      scale *= rest.pop(0)
    return convolution.Convolution(
        kernel * convolution.per_filter(scale), *rest)

  def apply(self, prepared, kept, *conditions, context, dtype):
    return convolution.convolve(kept, prepared, dtype)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'kernel_size': self.kernel_size,
            'use_magnitude': self.use_magnitude, 'use_bias': self.use_bias,
            'seed': self.seed}


@keras.saving.register_keras_serializable('tfp_glow')
class OffsetBatchNorm(keras.layers.Layer):
  """RealNVP's batch normalisation inside networks: an offset and no scale.

  ```none
  y = (x - mean) / sqrt(variance + epsilon) + offset
  ```

  Mean and variance are the batch's in training, running averages otherwise.
  `keras.layers.BatchNormalization` moves its averages whenever it is called
  with `training=True`; these move in `FlowModel.fit` only.

  #### Examples

  >>> norm = networks.OffsetBatchNorm()
  >>> x = 3. + 2. * tf.random.stateless_normal([8, 4, 4, 2], [0, 0])
  >>> abs(float(tf.math.reduce_std(norm(x, training=True))) - 1.) < 1e-2
  True

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 3.7 and the authors' program.
       https://arxiv.org/abs/1605.08803
  """

  def __init__(self, momentum: float = normalization.MOMENTUM,
               epsilon: float = normalization.EPSILON, **kwargs: Any):
    """Starts from mean 0, variance 1 and offset 0.

    Args:
      momentum: Python `float`, share of a running average that stays at each
        step. Default value: `0.9`.
      epsilon: Python `float`, added to variances. Default value: `1e-4`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.momentum = momentum
    self.epsilon = epsilon

  def build(self, input_shape):
    shape = [input_shape[-1]]
    self.offset = self.add_weight(
        shape=shape, name='offset', autocast=False, initializer='zeros')
    self.running_mean = self.add_weight(
        shape=shape, name='running_mean', autocast=False, trainable=False,
        initializer='zeros', aggregation='mean')
    self.running_variance = self.add_weight(
        shape=shape, name='running_variance', autocast=False, trainable=False,
        initializer='ones', aggregation='mean')
    super().build(input_shape)

  def call(self, inputs, training=False):
    return self.apply(
        inputs, context_lib.Context(training), self.compute_dtype)

  def apply(self, inputs, context, dtype):
    """Normalises, and notes in the context how the averages move."""
    values = tf.cast(inputs, self.variable_dtype)
    offset = tf.convert_to_tensor(self.offset)
    if (context.training and values.shape.rank == 4 and
        values.dtype == tf.float32 and replicas.count() == 1):
      outputs, mean, variance = normalization.batch_normalised(
          values, offset, self.epsilon)
      normalization.move(context, self.running_mean, mean, self.momentum)
      normalization.move(
          context, self.running_variance, variance, self.momentum)
      return tf.cast(outputs, dtype)
    mean, variance = normalization.batch_or_running(
        values, self.running_mean, self.running_variance, self.momentum,
        context)
    outputs = tf.nn.batch_normalization(
        values, mean, variance, offset, None, self.epsilon)
    return tf.cast(outputs, dtype)

  def get_config(self):
    return {**super().get_config(), 'momentum': self.momentum,
            'epsilon': self.epsilon}


@keras.saving.register_keras_serializable('tfp_glow')
class ResidualBlock(prepared_network.PreparedNetwork):
  """A block of RealNVP's residual networks.

  ```none
  h = conv3x3(relu(norm(x)))
  y = x + conv3x3(relu(norm(h)))
  ```

  #### Examples

  >>> block = networks.ResidualBlock(4, seed=0)
  >>> block(tf.ones([1, 8, 8, 4])).shape
  TensorShape([1, 8, 8, 4])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 4.1 and the authors' program.
       https://arxiv.org/abs/1605.08803
  """

  def __init__(self, width: int, seed: int | None = None, **kwargs: Any):
    """Makes a network of a given shape.

    Args:
      width: Python `int`, number of channels.
      seed: Python `int` or `None`, of the kernels. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.width = width
    self.seed = seed
    seeds = np.random.SeedSequence(seed).generate_state(2)
    dtype = self.dtype_policy
    self.norm_in = OffsetBatchNorm(dtype=dtype, name='norm_in')
    self.conv_1 = WeightNormConv2D(
        width, 3, use_magnitude=False, use_bias=False, seed=int(seeds[0]),
        dtype=dtype, name='conv_1')
    self.norm_1 = OffsetBatchNorm(dtype=dtype, name='norm_1')
    self.conv_out = WeightNormConv2D(
        width, 3, seed=int(seeds[1]), dtype=dtype, name='conv_out')

  def build(self, input_shape):
    for layer in (self.norm_in, self.conv_1, self.norm_1, self.conv_out):
      layer.build(input_shape)
    self.built = True

  def prepare(self, weights, event_shape=None):
    by_variable = _by_variable(self, weights)
    return [conv.prepare(by_variable(conv))
            for conv in (self.conv_1, self.conv_out)]

  def apply(self, prepared, kept, *conditions, context, dtype):
    conv_1, conv_out = prepared
    h = self.inner(kept, conv_1, context, dtype)
    return kept + convolution.convolve(h, conv_out)

  def inner(self, x, conv_1, context, dtype):
    """Returns the input of the last convolution."""
    h = tf.nn.relu(self.norm_in.apply(x, context, dtype))
    h = convolution.convolve(h, conv_1)
    return tf.nn.relu(self.norm_1.apply(h, context, dtype))

  def get_config(self):
    return {**super().get_config(), 'width': self.width, 'seed': self.seed}


@keras.saving.register_keras_serializable('tfp_glow')
class ResidualNetwork(prepared_network.PreparedNetwork):
  """The network of RealNVP's couplings.

  ```none
  x = norm(kept)                 (times 2 on a checkerboard)
  h = conv3x3(relu([x, -x, mask]))
  s = conv1x1(h)
  `residual_blocks` times:
    h = block(h)
    s = s + conv1x1(h)
  y = conv1x1(relu(norm(s)))
  ```

  with every convolution weight-normalised. The mask, 1 where a pixel is kept
  and 0 elsewhere, is there on a checkerboard only. Conditions, maps
  `[N, H, W, K]` or vectors `[N, K]`, are appended to the first convolution's
  input as they are.

  #### Examples

  >>> network = networks.ResidualNetwork(
  ...     6, width=8, residual_blocks=2, checkerboard='even', seed=0)
  >>> network(tf.ones([1, 8, 8, 3])).shape
  TensorShape([1, 8, 8, 6])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 4.1 and the authors' program.
       https://arxiv.org/abs/1605.08803
  """

  def __init__(self, filters: int, width: int = 64, residual_blocks: int = 8,
               checkerboard: str | None = None, seed: int | None = None,
               **kwargs: Any):
    """Makes a network of a given shape.

    Args:
      filters: Python `int`, number of output channels.
      width: Python `int`, number of channels inside. Default value: `64`.
      residual_blocks: Python `int`, number of blocks, at least 1.
        Default value: `8`.
      checkerboard: Python `str` or `None`: of a checkerboard coupling, the
        pixels that are kept, those where row + column is `'even'` or `'odd'`;
        the others are zeros in the input. Default value: `None`.
      seed: Python `int` or `None`, of the kernels. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.

    Raises:
      ValueError: If there is no block, or `checkerboard` is another name.
    """
    super().__init__(**kwargs)
    if residual_blocks < 1:
      raise ValueError(
          f'`residual_blocks` must be at least 1, got {residual_blocks}.')
    if checkerboard not in (None, 'even', 'odd'):
      raise ValueError(
          "`checkerboard` must be 'even', 'odd' or None, got "
          f'{checkerboard!r}.')
    self.filters = filters
    self.width = width
    self.residual_blocks = residual_blocks
    self.checkerboard = checkerboard
    self.seed = seed
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(
        3 + 2 * residual_blocks)]
    dtype = self.dtype_policy
    self.norm_in = OffsetBatchNorm(dtype=dtype, name='norm_in')
    self.conv_in = WeightNormConv2D(
        width, 3, use_magnitude=False, seed=seeds.pop(), dtype=dtype,
        name='conv_in')
    self.skip_in = WeightNormConv2D(
        width, 1, seed=seeds.pop(), dtype=dtype, name='skip_in')
    self.blocks = [
        ResidualBlock(width, seeds.pop(), dtype=dtype, name=f'block_{k}')
        for k in range(residual_blocks)]
    self.skips = [
        WeightNormConv2D(width, 1, seed=seeds.pop(), dtype=dtype,
                         name=f'skip_{k}')
        for k in range(residual_blocks)]
    self.norm_out = OffsetBatchNorm(dtype=dtype, name='norm_out')
    self.conv_out = WeightNormConv2D(
        filters, 1, seed=seeds.pop(), dtype=dtype, name='conv_out')

  def build(self, kept_shape, condition_shape=None, condition_2_shape=None):
    spatial = tuple(kept_shape[:-1])
    channels = sum(shape[-1] for shape in (
        kept_shape, kept_shape, condition_shape, condition_2_shape) if shape)
    if self.checkerboard is not None:
      channels += 1
    self.norm_in.build(kept_shape)
    self.conv_in.build((*spatial, channels))
    for layer in (self.skip_in, *self.blocks, *self.skips, self.norm_out,
                  self.conv_out):
      layer.build((*spatial, self.width))
    self.built = True

  def prepare(self, weights, event_shape=None):
    by_variable = _by_variable(self, weights)

    def prepared(conv):
      return conv.prepare(by_variable(conv))

    skips = [prepared(conv) for conv in (self.skip_in, *self.skips)]
    blocks = [block.prepare(by_variable(block)) for block in self.blocks]
    # The last block's output goes into the last skip and nowhere else, and both
    # are linear: one convolution of the block's inner value, and one of its
    # input, which joins the skip before.
    last = skips.pop()
    skips[-1] = convolution.joined(skips[-1], last)
    blocks[-1][1] = convolution.composed(blocks[-1][1], last)
    return prepared(self.conv_in), skips, blocks, prepared(self.conv_out)

  def apply(self, prepared, kept, *conditions, context, dtype):
    conv_in, skips, blocks, conv_out = prepared
    x = self.norm_in.apply(kept, context, dtype)
    parts = [x, -x]
    if self.checkerboard is not None:
      x *= 2.
      parts = [x, -x, self._mask(x)]
    h = tf.nn.relu(tf.concat(parts, axis=-1))
    h = convolution.append_channels(h, *conditions)
    h = convolution.convolve(h, conv_in, dtype)
    total = convolution.convolve(h, skips[0])
    for block, convs, skip in zip(self.blocks, blocks, skips[1:]):
      h = block.apply(convs, h, context=context, dtype=dtype)
      total += convolution.convolve(h, skip)
    conv_1, conv_out_and_skip = blocks[-1]
    h = self.blocks[-1].inner(h, conv_1, context, dtype)
    total += convolution.convolve(h, conv_out_and_skip)
    total = self.norm_out.apply(total, context, dtype)
    return convolution.convolve(tf.nn.relu(total), conv_out)

  def _mask(self, x):
    """`[N, H, W, 1]`, 1 where a pixel is kept and 0 elsewhere."""
    rows, columns = tf.range(tf.shape(x)[1]), tf.range(tf.shape(x)[2])
    odd = (rows[:, None] + columns[None, :]) % 2
    mask = 1 - odd if self.checkerboard == 'even' else odd
    return tf.cast(mask[..., None], x.dtype) * tf.ones_like(x[..., :1])

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'width': self.width, 'residual_blocks': self.residual_blocks,
            'checkerboard': self.checkerboard, 'seed': self.seed}


def _by_variable(network, weights):
  """Returns a function from a layer of the network to its own weights."""
  values = {id(v): value for v, value in zip(network.variables, weights)}
  return lambda layer: [values[id(v)] for v in layer.variables]
