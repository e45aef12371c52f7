"""The Keras networks that condition couplings and priors, as in the papers.

Each is an ordinary Keras 3 layer: it can be used anywhere, and any other layer
in its place. Work on weights is done in the weights' precision, convolutions
in the layer's `compute_dtype`.
"""

import keras
import numpy as np
import tensorflow as tf

# Glow's program learns a third of each log-scale.
LOG_SCALE_FACTOR = 3.


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
    scale = tf.exp(LOG_SCALE_FACTOR * _value(self.log_scale))
    return _convolve(
        inputs, _value(self.kernel) * scale, _value(self.shift) * scale)

  def initialize(self, inputs):
    """Sets `shift` and `log_scale` from data, and returns the output."""
    inputs = tf.cast(inputs, self.variable_dtype)
    kernel = _value(self.kernel)
    raw = _convolve(inputs, kernel, tf.zeros([self.filters], kernel.dtype))
    mean = tf.reduce_mean(raw, [0, 1, 2])
    std = tf.sqrt(tf.reduce_mean(tf.square(raw - mean), [0, 1, 2]))
    self.shift.assign(-mean)
    self.log_scale.assign(tf.math.log(1. / (std + 1e-6)) / LOG_SCALE_FACTOR)
    return (raw - mean) * tf.exp(LOG_SCALE_FACTOR * _value(self.log_scale))

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
    scale = tf.exp(LOG_SCALE_FACTOR * _value(self.log_scale))
    kernel, bias = _value(self.kernel) * scale, _value(self.bias) * scale
    if self.interleaved:
      # Sorting the weights is cheaper than sorting the image.
      halves = np.r_[0:self.filters:2, 1:self.filters:2]
      kernel = tf.gather(kernel, halves, axis=-1)
      bias = tf.gather(bias, halves)
    return _convolve(inputs, kernel, bias)

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
    scale = tf.exp(LOG_SCALE_FACTOR * _value(self.log_scale))
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

  def build(self, kept_shape, *condition_shapes):
    channels = kept_shape[-1] + sum(s[-1] for s in condition_shapes)
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

  def call(self, kept, *conditions):
    h = tf.nn.relu(self.conv_1(append_channels(kept, conditions)))
    h = tf.nn.relu(self.conv_2(h))
    return self.conv_last(h)

  def initialize(self, kept, *conditions):
    """Initialises the activation normalisations from data, in their order."""
    h = append_channels(kept, conditions)
    h = tf.nn.relu(self.conv_1.initialize(h))
    self.conv_2.initialize(h)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'width': self.width, 'interleaved': self.interleaved,
            'seed': self.seed}


def append_channels(x, conditions):
  """Appends maps, and vectors spread over the image, to the channels of `x`."""
  parts = [x]
  for condition in conditions:
    if condition.shape.rank == 2 and x.shape.rank == 4:
      condition = condition[:, None, None, :] * tf.ones_like(x[..., :1])
    parts.append(tf.cast(condition, x.dtype))
  return tf.concat(parts, axis=-1) if conditions else x


def _kernel_shape(size, in_channels, out_channels):
  edge = 1 if size == 3 else 0
  return [size, size, in_channels + edge, out_channels]


def _value(variable):
  return tf.convert_to_tensor(variable)


def _convolve(inputs, kernel, bias):
  """Convolution plus bias; a 3x3 kernel's last input channel is the edge."""
  dtype = inputs.dtype
  if kernel.shape[0] == 3:
    # The edge channel is the same for every image: one map, like a bias.
    height, width = tf.shape(inputs)[1], tf.shape(inputs)[2]
    ring = tf.pad(tf.zeros([1, height, width, 1], kernel.dtype),
                  [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.)
    bias += tf.nn.conv2d(ring, kernel[:, :, -1:], 1, 'VALID')
    kernel = kernel[:, :, :-1]
  outputs = tf.nn.conv2d(inputs, tf.cast(kernel, dtype), 1, 'SAME')
  return outputs + tf.cast(bias, dtype)
