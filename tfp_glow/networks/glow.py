"""Glow's networks: Kingma and Dhariwal, 2018, and the authors' program.

`tests/numpy_glow.py` is the same program in NumPy, written apart from this.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import normalization
from tfp_glow.networks import convolution
from tfp_glow.networks import prepared_network


@keras.saving.register_keras_serializable('tfp_glow')
class ActNormConv2D(prepared_network.PreparedNetwork):
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

  def __init__(self, filters: int, kernel_size: int, seed: int | None = None,
               **kwargs: Any):
    """Makes a network of a given shape.

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

  def prepare(self, weights, event_shape=None):
    kernel, shift, log_scale = weights
    # (conv(x, kernel) + shift) s = conv(x, kernel s) + shift s
    scale = tf.exp(normalization.LOG_SCALE_FACTOR * log_scale)
    if self.kernel_size == 1:
      return convolution.Convolution(
          convolution.as_matrix(kernel) * tf.expand_dims(scale, -2),
          shift * scale)
    kernel, bias = kernel * convolution.per_filter(scale), shift * scale
    return convolution.with_edge_channel(kernel, bias, event_shape)

  def apply(self, prepared, kept, *conditions, context, dtype):
    return convolution.convolve(kept, prepared, dtype)

  def initialize(self, inputs):
    """Sets `shift` and `log_scale` from data, and returns the output."""
    inputs = tf.cast(inputs, self.variable_dtype)
    zeros = tf.zeros([self.filters], self.variable_dtype)
    raw = convolution.convolve(inputs, self.prepare(
        [tf.convert_to_tensor(self.kernel), zeros, zeros]))
    shift, log_scale = normalization.standardising_shift_and_log_scale(raw)
    self.shift.assign(shift)
    self.log_scale.assign(log_scale)
    return (raw + shift) * tf.exp(normalization.LOG_SCALE_FACTOR * log_scale)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'kernel_size': self.kernel_size, 'seed': self.seed}


@keras.saving.register_keras_serializable('tfp_glow')
class ZeroConv2D(prepared_network.PreparedNetwork):
  """Glow's last convolution, which starts at zero.

  ```none
  y = (conv(x, kernel) + bias) * exp(3 log_scale)
  ```

  Kernel 3x3, with the channel that marks the edge (see `ActNormConv2D`).
  Conditions are appended to the input's channels, as in `GlowNetwork`.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 3.3 and the authors' program.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, filters: int, interleaved: bool = False, **kwargs: Any):
    """Makes a network of a given shape.

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

  def build(self, kept_shape, condition_shape=None, condition_2_shape=None):
    channels = _channels(kept_shape, condition_shape, condition_2_shape)
    self.kernel = self.add_weight(
        shape=_kernel_shape(3, channels, self.filters), name='kernel',
        autocast=False, initializer='zeros')
    self.bias = self.add_weight(
        shape=[self.filters], name='bias', autocast=False,
        initializer='zeros')
    self.log_scale = self.add_weight(
        shape=[self.filters], name='log_scale', autocast=False,
        initializer='zeros')
    super().build(kept_shape)

  def prepare(self, weights, event_shape=None):
    kernel, bias, log_scale = weights
    # (conv(x, kernel) + bias) s = conv(x, kernel s) + bias s
    scale = tf.exp(normalization.LOG_SCALE_FACTOR * log_scale)
    kernel, bias = kernel * convolution.per_filter(scale), bias * scale
    if self.interleaved:
      # Sorting the weights is cheaper than sorting the image.
      kernel, bias = _halves_last(kernel), _halves_last(bias)
    return convolution.with_edge_channel(kernel, bias, event_shape)

  def apply(self, prepared, kept, *conditions, context, dtype):
    return convolution.convolve(
        convolution.append_channels(kept, *conditions), prepared, dtype)

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

  def __init__(self, units: int, **kwargs: Any):
    """Makes a network of a given shape.

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
    scale = tf.exp(normalization.LOG_SCALE_FACTOR * tf.convert_to_tensor(
        self.log_scale))
    inputs = tf.cast(inputs, self.variable_dtype)
    return (inputs @ tf.convert_to_tensor(self.kernel) +
            tf.convert_to_tensor(self.bias)) * scale

  def get_config(self):
    return {**super().get_config(), 'units': self.units}


@keras.saving.register_keras_serializable('tfp_glow')
class ClassEmbedding(ZeroDense):
  """`ZeroDense` of a one-hot label: `int32` `[N]` to `[N, units]`."""

  def __init__(self, num_classes: int | None, units: int, **kwargs: Any):
    """Makes a network of a given shape.

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
class GlowNetwork(prepared_network.PreparedNetwork):
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

  def __init__(self, filters: int, width: int = 512, interleaved: bool = False,
               seed: int | None = None, **kwargs: Any):
    """Makes a network of a given shape.

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
    channels = _channels(kept_shape, condition_shape, condition_2_shape)
    spatial = tuple(kept_shape[:-1])
    self.conv_1.build((*spatial, channels))
    self.conv_2.build((*spatial, self.width))
    self.conv_last.build((*spatial, self.width))
    self.built = True

  @property
  def is_initialized(self):
    """Whether the activation normalisations have left their initial values."""
    return all(bool(tf.reduce_any(tf.convert_to_tensor(v) != 0.))
               for conv in (self.conv_1, self.conv_2)
               for v in (conv.shift, conv.log_scale))

  @property
  def prepared_variables(self):
    return [v for conv in (self.conv_1, self.conv_2, self.conv_last)
            for v in conv.variables]

  def prepare(self, weights, event_shape=None):
    return [conv.prepare(weights[k:k + 3], event_shape) for k, conv in (
        (0, self.conv_1), (3, self.conv_2), (6, self.conv_last))]

  def apply(self, prepared, kept, *conditions, context, dtype):
    conv_1, conv_2, conv_last = prepared
    h = convolution.append_channels(kept, *conditions)
    h = tf.nn.relu(convolution.convolve(h, conv_1, dtype))
    h = tf.nn.relu(convolution.convolve(h, conv_2))
    return convolution.convolve(h, conv_last)

  @property
  def stack_key(self):
    return (type(self), self.interleaved, self.compute_dtype,
            self.variable_dtype,
            *(tuple(v.shape) for v in self.prepared_variables))

  def initialize(self, kept, condition=None, condition_2=None):
    """Initialises the activation normalisations from data, in their order."""
    h = convolution.append_channels(kept, condition, condition_2)
    h = tf.nn.relu(self.conv_1.initialize(h))
    self.conv_2.initialize(h)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'width': self.width, 'interleaved': self.interleaved,
            'seed': self.seed}


def _channels(*shapes):
  """Returns how many channels an input and its conditions have together."""
  return sum(shape[-1] for shape in shapes if shape)


def _kernel_shape(size, in_channels, out_channels):
  edge = 1 if size == 3 else 0
  return [size, size, in_channels + edge, out_channels]


def _halves_last(values):
  """Reorders the last axis from pairs to halves."""
  *shape, size = values.shape
  pairs = tf.reshape(values, [*shape, size // 2, 2])
  return tf.concat(tf.unstack(pairs, axis=-1), axis=-1)
