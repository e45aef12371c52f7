"""RealNVP's networks: Dinh, Sohl-Dickstein and Bengio, 2016."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import frozen
from tfp_glow import normalization
from tfp_glow import replicas
from tfp_glow.networks import convolution


@keras.saving.register_keras_serializable('tfp_glow')
class WeightNormConv2D(keras.layers.Layer):
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

  def __init__(self, filters, kernel_size, use_magnitude=True, use_bias=True,
               seed=None, **kwargs):
    """Takes the shape.

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

  def call(self, inputs):
    return convolution.convolve(
        tf.cast(inputs, self.compute_dtype), *self.normalised())

  def normalised(self):
    """The kernel that convolves, and the bias, which may be `None`."""
    kernel = frozen.once((id(self),), self._normalised_kernel)
    return kernel, convolution.value_of(self.bias) if self.use_bias else None

  def _normalised_kernel(self):
    # `tf.math.l2_normalize` and the magnitude would be two passes over it.
    kernel = convolution.value_of(self.kernel)
    scale = tf.math.rsqrt(tf.maximum(
        tf.reduce_sum(tf.square(kernel), axis=[0, 1, 2]), 1e-12))
    if self.use_magnitude:
      scale *= convolution.value_of(self.magnitude)
    return kernel * scale

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

  def __init__(self, momentum=normalization.MOMENTUM,
               epsilon=normalization.EPSILON,
               **kwargs):
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
    values = tf.cast(inputs, self.variable_dtype)
    if (training and values.shape.rank == 4 and values.dtype == tf.float32 and
        replicas.count() == 1):
      outputs, mean, variance = normalization.batch_normalised(
          values, convolution.value_of(self.offset), self.epsilon)
      normalization.move_if_updating(self.running_mean, mean, self.momentum)
      normalization.move_if_updating(
          self.running_variance, variance, self.momentum)
      return tf.cast(outputs, self.compute_dtype)
    mean, variance = normalization.batch_or_running(
        values, self.running_mean, self.running_variance, self.momentum,
        training)
    outputs = tf.nn.batch_normalization(
        values, mean, variance, convolution.value_of(self.offset), None,
        self.epsilon)
    return tf.cast(outputs, self.compute_dtype)

  def get_config(self):
    return {**super().get_config(), 'momentum': self.momentum,
            'epsilon': self.epsilon}


@keras.saving.register_keras_serializable('tfp_glow')
class ResidualBlock(keras.layers.Layer):
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

  def __init__(self, width, seed=None, **kwargs):
    """Takes the shape.

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

  def call(self, inputs, training=False):
    return inputs + self.conv_out(self.inner(inputs, training))

  def inner(self, inputs, training):
    """What `conv_out` sees."""
    h = self.conv_1(tf.nn.relu(self.norm_in(inputs, training=training)))
    return tf.nn.relu(self.norm_1(h, training=training))

  def get_config(self):
    return {**super().get_config(), 'width': self.width, 'seed': self.seed}


@keras.saving.register_keras_serializable('tfp_glow')
class ResidualNetwork(keras.layers.Layer):
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

  def __init__(self, filters, width=64, residual_blocks=8, checkerboard=None,
               seed=None, **kwargs):
    """Takes the shape.

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
      ValueError: If there is no block, or `checkerboard` is none of the
        three.
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

  def call(self, kept, condition=None, condition_2=None, training=False):
    x = self.norm_in(kept, training=training)
    parts = [x, -x]
    if self.checkerboard is not None:
      x *= 2.
      parts = [x, -x, self._mask(x)]
    h = tf.nn.relu(tf.concat(parts, axis=-1))
    h = self.conv_in(convolution.append_channels(h, condition, condition_2))
    *skips, last = frozen.once((id(self),), self._summed_convolutions)
    total = convolution.convolve(h, *skips[0])
    for block, skip in zip(self.blocks, skips[1:]):
      h = block(h, training=training)
      total += convolution.convolve(h, *skip)
    total += convolution.convolve(self.blocks[-1].inner(h, training), *last)
    total = self.norm_out(total, training=training)
    return self.conv_out(tf.nn.relu(total))

  def _summed_convolutions(self):
    """Kernel and bias of each convolution that adds to the sum.

    What the last block gives goes into the last skip and nowhere else, and both
    are linear: one convolution of the block, and one of its input, which joins
    the skip before.
    """
    *skips, last_skip = [
        conv.normalised() for conv in (self.skip_in, *self.skips)]
    skips[-1] = [a + b for a, b in zip(skips[-1], last_skip)]
    last_block = self.blocks[-1].conv_out.normalised()
    return [*skips, [tf.tensordot(
        weights, convolution.as_matrix(last_skip[0]), 1)
                     for weights in last_block]]

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
