"""The Keras networks that condition couplings and priors, as in the papers.

Each is an ordinary Keras 3 layer: it can be used anywhere, and any other layer
in its place. Work on weights is done in the weights' precision, convolutions
in the layer's `compute_dtype`.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import frozen
from tfp_glow import moments
from tfp_glow import replicas


@keras.saving.register_keras_serializable('tfp_glow')
class ActNormConv2D(keras.layers.Layer):
  """Glow's convolution with activation normalisation.

  ```none
  y = (conv(x, kernel) + shift) * exp(3 log_scale)
  ```

  A 3x3 convolution sees one channel more than its input has: 1 on the ring of
  zero padding around the image, 0 inside. `initialize(x)` sets `shift` and
  `log_scale` so that `y` has mean 0 and standard deviation 1.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 3.1 and the authors' program.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, filters, kernel_size, seed=None, **kwargs):
    """Takes the shape.

    Args:
      filters: Python `int`, number of output channels.
      kernel_size: Python `int`, 1 or 3.
      seed: Python `int` or `None`, of the kernel. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.filters = filters
    self.kernel_size = kernel_size
    self.seed = seed

  def build(self, input_shape):
    shape = _kernel_shape(self.kernel_size, input_shape[-1], self.filters)
    self.kernel = self.add_weight(
        shape=shape, name='kernel', autocast=False,
        initializer=keras.initializers.RandomNormal(0., .05, self.seed))
    self.shift = self.add_weight(
        shape=[self.filters], name='shift', autocast=False,
        initializer='zeros')
    self.log_scale = self.add_weight(
        shape=[self.filters], name='log_scale', autocast=False,
        initializer='zeros')
    super().build(input_shape)

  def call(self, inputs):
    (kernel, bias), = self.folded([self], *_image_size(inputs))
    return _convolve(inputs, kernel, bias)

  @staticmethod
  def folded(layers, height, width):
    """Kernels and biases of alike layers with all else folded in.

    Args:
      layers: List of layers with weights of the same shapes.
      height: Height of the image, an integer or `Tensor` `[]`.
      width: Width of the image, an integer or `Tensor` `[]`.

    Returns:
      weights: List of pairs of kernel and bias, which is a map `[H, W,
        filters]` where the kernel is 3x3.
    """
    scaled = frozen.once(tuple(map(id, layers)), lambda: _scaled([
        (layer.kernel, layer.shift, layer.log_scale) for layer in layers]))
    return _folded(scaled, height, width)

  def initialize(self, inputs):
    """Sets `shift` and `log_scale` from data, and returns the output."""
    inputs = tf.cast(inputs, self.variable_dtype)
    zeros = tf.zeros([self.filters], self.variable_dtype)
    (kernel, bias), = _folded(
        _scaled([(self.kernel, zeros, zeros)]), *_image_size(inputs))
    raw = _convolve(inputs, kernel, bias)
    shift, log_scale = moments.standardising_shift_and_log_scale(raw)
    self.shift.assign(shift)
    self.log_scale.assign(log_scale)
    return (raw + shift) * tf.exp(moments.LOG_SCALE_FACTOR * log_scale)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'kernel_size': self.kernel_size, 'seed': self.seed}


@keras.saving.register_keras_serializable('tfp_glow')
class ZeroConv2D(keras.layers.Layer):
  """Glow's last convolution, which starts at zero.

  ```none
  y = (conv(x, kernel) + bias) * exp(3 log_scale)
  ```

  Kernel 3x3, with the channel that marks the edge (see `ActNormConv2D`).

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 3.3 and the authors' program.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, filters, interleaved=False, **kwargs):
    """Takes the shape.

    Args:
      filters: Python `int`, number of output channels.
      interleaved: Python `bool`, whether the kernel's output channels are kept
        as the program keeps those of affine couplings, shift and scale in
        turn; outputs come in halves all the same. Default value: `False`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.filters = filters
    self.interleaved = interleaved

  def build(self, input_shape):
    self.kernel = self.add_weight(
        shape=_kernel_shape(3, input_shape[-1], self.filters), name='kernel',
        autocast=False, initializer='zeros')
    self.bias = self.add_weight(
        shape=[self.filters], name='bias', autocast=False,
        initializer='zeros')
    self.log_scale = self.add_weight(
        shape=[self.filters], name='log_scale', autocast=False,
        initializer='zeros')
    super().build(input_shape)

  def call(self, inputs):
    (kernel, bias), = self.folded([self], *_image_size(inputs))
    return _convolve(inputs, kernel, bias)

  @staticmethod
  def folded(layers, height, width):
    """See `ActNormConv2D.folded`."""
    scaled = frozen.once(tuple(map(id, layers)), lambda: _scaled([
        (layer.kernel, layer.bias, layer.log_scale) for layer in layers],
        layers[0].interleaved))
    return _folded(scaled, height, width)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'interleaved': self.interleaved}


@keras.saving.register_keras_serializable('tfp_glow')
class ZeroDense(keras.layers.Layer):
  """Glow's linear layer, which starts at zero.

  ```none
  y = (x @ kernel + bias) * exp(3 log_scale)
  ```

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. The authors' program.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, units, **kwargs):
    """Takes the shape.

    Args:
      units: Python `int`, number of outputs.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.units = units

  def build(self, input_shape):
    self.kernel = self.add_weight(
        shape=[input_shape[-1], self.units], name='kernel', autocast=False,
        initializer='zeros')
    self.bias = self.add_weight(
        shape=[self.units], name='bias', autocast=False, initializer='zeros')
    self.log_scale = self.add_weight(
        shape=[self.units], name='log_scale', autocast=False,
        initializer='zeros')
    super().build(input_shape)

  def call(self, inputs):
    scale = tf.exp(moments.LOG_SCALE_FACTOR * _value(self.log_scale))
    inputs = tf.cast(inputs, self.variable_dtype)
    return (inputs @ _value(self.kernel) + _value(self.bias)) * scale

  def get_config(self):
    return {**super().get_config(), 'units': self.units}


@keras.saving.register_keras_serializable('tfp_glow')
class ClassEmbedding(ZeroDense):
  """`ZeroDense` of a one-hot label: `int32` `[N]` to `[N, units]`."""

  def __init__(self, num_classes, units, **kwargs):
    """Takes the shape.

    Args:
      num_classes: Python `int`, number of classes.
      units: Python `int`, number of outputs.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(units, **kwargs)
    self.num_classes = num_classes

  def build(self, input_shape):
    super().build([None, self.num_classes])

  def call(self, inputs):
    return super().call(tf.one_hot(
        inputs, self.num_classes, dtype=self.variable_dtype))

  def get_config(self):
    return {**super().get_config(), 'num_classes': self.num_classes}


@keras.saving.register_keras_serializable('tfp_glow')
class GlowNetwork(keras.layers.Layer):
  """The network of Glow's couplings.

  ```none
  h = relu(actnorm(conv3x3(x)))
  h = relu(actnorm(conv1x1(h)))
  y = zero_conv3x3(h)
  ```

  `initialize(x)` initialises the two activation normalisations from data.
  Conditions, maps `[N, H, W, K]` or vectors `[N, K]`, are appended to the
  input's channels.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 3.3.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, filters, width=512, interleaved=False, seed=None,
               **kwargs):
    """Takes the shape.

    Args:
      filters: Python `int`, number of output channels.
      width: Python `int`, number of channels inside. Default value: `512`.
      interleaved: Python `bool`, see `ZeroConv2D`. Default value: `False`.
      seed: Python `int` or `None`, of the kernels. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.filters = filters
    self.width = width
    self.interleaved = interleaved
    self.seed = seed
    seeds = np.random.SeedSequence(seed).generate_state(2)
    self.conv_1 = ActNormConv2D(
        width, 3, int(seeds[0]), dtype=self.dtype_policy, name='conv_1')
    self.conv_2 = ActNormConv2D(
        width, 1, int(seeds[1]), dtype=self.dtype_policy, name='conv_2')
    self.conv_last = ZeroConv2D(
        filters, interleaved, dtype=self.dtype_policy, name='conv_last')

  def build(self, kept_shape, condition_shape=None, condition_2_shape=None):
    channels = sum(shape[-1] for shape in (
        kept_shape, condition_shape, condition_2_shape) if shape)
    spatial = tuple(kept_shape[:-1])
    self.conv_1.build((*spatial, channels))
    self.conv_2.build((*spatial, self.width))
    self.conv_last.build((*spatial, self.width))
    self.built = True

  @property
  def is_initialized(self):
    """Whether the activation normalisations have left their initial values."""
    return all(bool(tf.reduce_any(_value(v) != 0.))
               for conv in (self.conv_1, self.conv_2)
               for v in (conv.shift, conv.log_scale))

  def call(self, kept, condition=None, condition_2=None, folded=None):
    if folded is None:
      folded, = self.folded([self], *_image_size(kept))
    h = tf.cast(append_channels(kept, condition, condition_2),
                self.compute_dtype)
    h = tf.nn.relu(_convolve(h, *folded[0]))
    h = tf.nn.relu(_convolve(h, *folded[1]))
    return _convolve(h, *folded[2])

  @staticmethod
  def folded(networks, height, width):
    """What `call` takes as `folded`, of alike networks together.

    Args:
      networks: List of networks with equal `folded_like`.
      height: Height of the image, an integer or `Tensor` `[]`.
      width: Width of the image, an integer or `Tensor` `[]`.

    Returns:
      weights: List of three pairs of kernel and bias for each network.
    """
    layers = ([n.conv_1 for n in networks], [n.conv_2 for n in networks],
              [n.conv_last for n in networks])
    return list(zip(*(alike[0].folded(alike, height, width)
                      for alike in layers)))

  @property
  def folded_like(self):
    """Equal for networks that can be folded together."""
    return (GlowNetwork, self.interleaved, self.variable_dtype,
            *(tuple(v.shape) for v in self.variables))

  def initialize(self, kept, condition=None, condition_2=None):
    """Initialises the activation normalisations from data, in their order."""
    h = append_channels(kept, condition, condition_2)
    h = tf.nn.relu(self.conv_1.initialize(h))
    self.conv_2.initialize(h)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'width': self.width, 'interleaved': self.interleaved,
            'seed': self.seed}


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
    return _convolve(tf.cast(inputs, self.compute_dtype), *self.normalised())

  def normalised(self):
    """The kernel that convolves, and the bias, which may be `None`."""
    kernel = frozen.once((id(self),), self._normalised_kernel)
    return kernel, _value(self.bias) if self.use_bias else None

  def _normalised_kernel(self):
    # `tf.math.l2_normalize` and the magnitude would be two passes over it.
    kernel = _value(self.kernel)
    scale = tf.math.rsqrt(tf.maximum(
        tf.reduce_sum(tf.square(kernel), axis=[0, 1, 2]), 1e-12))
    if self.use_magnitude:
      scale *= _value(self.magnitude)
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

  def __init__(self, momentum=moments.MOMENTUM, epsilon=moments.EPSILON,
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
      outputs, mean, variance = moments.batch_normalised(
          values, _value(self.offset), self.epsilon)
      moments.move_if_updating(self.running_mean, mean, self.momentum)
      moments.move_if_updating(self.running_variance, variance, self.momentum)
      return tf.cast(outputs, self.compute_dtype)
    mean, variance = moments.batch_or_running(
        values, self.running_mean, self.running_variance, self.momentum,
        training)
    outputs = tf.nn.batch_normalization(
        values, mean, variance, _value(self.offset), None, self.epsilon)
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
    h = self.conv_in(append_channels(h, condition, condition_2))
    *skips, last = frozen.once((id(self),), self._summed_convolutions)
    total = _convolve(h, *skips[0])
    for block, skip in zip(self.blocks, skips[1:]):
      h = block(h, training=training)
      total += _convolve(h, *skip)
    total += _convolve(self.blocks[-1].inner(h, training), *last)
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
    return [*skips, [tf.tensordot(weights, _matrix(last_skip[0]), 1)
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


@keras.saving.register_keras_serializable('tfp_glow')
class DenseNetwork(keras.layers.Layer):
  """The network of NICE's couplings.

  ```none
  h = x, then `hidden_layers` times  h = relu(h @ kernel + bias)
  y = h @ kernel + bias
  ```

  The last kernel starts small, as all do in the authors' program, so that a
  coupling starts near the identity. Conditions, vectors `[N, K]`, are
  appended to the input.

  #### Examples

  >>> network = networks.DenseNetwork(3, width=8, hidden_layers=2, seed=0)
  >>> network(tf.ones([5, 4])).shape
  TensorShape([5, 3])

  #### References

  [1]: Dinh, Krueger and Bengio. NICE: Non-linear Independent Components
       Estimation. 2014. Section 5.1. https://arxiv.org/abs/1410.8516
  """

  def __init__(self, units, width=1000, hidden_layers=5, seed=None, **kwargs):
    """Takes the shape.

    Args:
      units: Python `int`, number of outputs.
      width: Python `int`, units of each hidden layer. Default value: `1000`.
      hidden_layers: Python `int`, number of those. Default value: `5`.
      seed: Python `int` or `None`, of the kernels. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.units = units
    self.width = width
    self.hidden_layers = hidden_layers
    self.seed = seed
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(
        hidden_layers + 1)]
    dtype = self.dtype_policy
    self.hidden = [
        keras.layers.Dense(
            width, 'relu', dtype=dtype, name=f'hidden_{k}',
            kernel_initializer=keras.initializers.HeUniform(seeds.pop()))
        for k in range(hidden_layers)]
    self.out = keras.layers.Dense(
        units, dtype=dtype, name='out',
        kernel_initializer=keras.initializers.RandomUniform(
            -.01, .01, seeds.pop()))

  def build(self, kept_shape, condition_shape=None, condition_2_shape=None):
    size = sum(shape[-1] for shape in (
        kept_shape, condition_shape, condition_2_shape) if shape)
    for layer in (*self.hidden, self.out):
      layer.build((None, size))
      size = self.width
    self.built = True

  def call(self, kept, condition=None, condition_2=None):
    h = append_channels(kept, condition, condition_2)
    for layer in self.hidden:
      h = layer(h)
    return self.out(h)

  def get_config(self):
    return {**super().get_config(), 'units': self.units, 'width': self.width,
            'hidden_layers': self.hidden_layers, 'seed': self.seed}


def append_channels(x, *conditions):
  """Appends maps, and vectors spread over the image, to the channels of `x`."""
  parts = [x]
  for condition in conditions:
    if condition is None:
      continue
    if condition.shape.rank == 2 and x.shape.rank == 4:
      condition = condition[:, None, None, :] * tf.ones_like(x[..., :1])
    parts.append(tf.cast(condition, x.dtype))
  return tf.concat(parts, axis=-1) if len(parts) > 1 else x


def _kernel_shape(size, in_channels, out_channels):
  edge = 1 if size == 3 else 0
  return [size, size, in_channels + edge, out_channels]


def _value(variable):
  return tf.convert_to_tensor(variable)


def _image_size(images):
  """Height and width of `[N, H, W, C]`, as integers if they are known."""
  height, width = images.shape[1:3]
  if height is None or width is None:
    return tf.shape(images)[1], tf.shape(images)[2]
  return height, width


def _scaled(layers, interleaved=False):
  """Kernels and biases of alike convolutions, and, apart, the edge's taps."""
  kernels, biases, log_scales = (
      [_value(v) for v in alike] for alike in zip(*layers))
  count = len(kernels)
  # Next to the filters, the convolutions are as one with more filters.
  kernels = tf.stack(kernels, axis=3)
  biases = tf.stack(biases)
  size, _, channels, _, filters = kernels.shape
  scales = tf.exp(moments.LOG_SCALE_FACTOR * tf.stack(log_scales))
  kernels *= scales
  biases *= scales
  if interleaved:
    # Sorting the weights is cheaper than sorting the image.
    kernels, biases = _halves_last(kernels), _halves_last(biases)
  if size == 1:
    return kernels, biases
  kernels, edges = tf.split(kernels, [channels - 1, 1], axis=2)
  return kernels, biases, tf.reshape(edges, [size**2, count * filters])


def _folded(scaled, height, width):
  """Pairs of kernel and bias, of what `_scaled` gave."""
  kernels, biases, *edges = scaled
  if edges:
    # The edge channel is the same for every image: one map, like a bias.
    maps = tf.matmul(_edge(height, width, biases.dtype), *edges)
    biases = tf.reshape(maps + tf.reshape(biases, [-1]),
                        [height, width, *biases.shape])
  return list(zip(tf.unstack(kernels, axis=3), tf.unstack(biases, axis=-2)))


def _halves_last(values):
  """Takes the last axis from pairs to halves."""
  *shape, size = values.shape
  pairs = tf.reshape(values, [*shape, size // 2, 2])
  return tf.concat(tf.unstack(pairs, axis=-1), axis=-1)


def _edge(height, width, dtype):
  """`[H*W, 9]`: 1 where a tap of a 3x3 kernel is outside of the image."""
  ring = tf.pad(tf.zeros([1, height, width, 1], dtype),
                [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.)
  taps = tf.reshape(tf.eye(9, dtype=dtype), [3, 3, 1, 9])
  return tf.reshape(tf.nn.conv2d(ring, taps, 1, 'VALID'),
                    [height * width, 9])


def _convolve(inputs, kernel, bias):
  """Convolution plus bias, or plus a map, or plus nothing."""
  kernel = tf.cast(kernel, inputs.dtype)
  if kernel.shape[:2] != (1, 1):
    return _plus(tf.nn.conv2d(inputs, kernel, 1, 'SAME'), bias)
  # XLA transposes both operands of a convolution's gradient, not a product's.
  rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
  outputs = _plus(tf.matmul(rows, _matrix(kernel)), bias)
  return tf.reshape(outputs, [-1, *_image_size(inputs), outputs.shape[-1]])


def _matrix(kernel):
  """`[C, F]` of a kernel `[1, 1, C, F]`."""
  return tf.reshape(kernel, kernel.shape[2:])


def _plus(outputs, bias):
  if bias is None:
    return outputs
  bias = tf.cast(bias, outputs.dtype)
  if bias.shape.rank == 1:
    return tf.nn.bias_add(outputs, bias)
  return outputs + bias
