"""Glow's networks: Kingma and Dhariwal, 2018, and the authors' program.

`tests/numpy_glow.py` is the same program in NumPy, written apart from this.
"""

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import frozen
from tfp_glow import normalization
from tfp_glow.networks import convolution


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
    (kernel, bias), = self.folded([self], *convolution.image_size(inputs))
    return convolution.convolve(inputs, kernel, bias)

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
        _scaled([(self.kernel, zeros, zeros)]), *convolution.image_size(inputs))
    raw = convolution.convolve(inputs, kernel, bias)
    shift, log_scale = normalization.standardising_shift_and_log_scale(raw)
    self.shift.assign(shift)
    self.log_scale.assign(log_scale)
    return (raw + shift) * tf.exp(normalization.LOG_SCALE_FACTOR * log_scale)

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
    (kernel, bias), = self.folded([self], *convolution.image_size(inputs))
    return convolution.convolve(inputs, kernel, bias)

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
    scale = tf.exp(normalization.LOG_SCALE_FACTOR * tf.convert_to_tensor(
        self.log_scale))
    inputs = tf.cast(inputs, self.variable_dtype)
    return (inputs @ convolution.value_of(self.kernel) +
            convolution.value_of(self.bias)) * scale

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
    return all(bool(tf.reduce_any(convolution.value_of(v) != 0.))
               for conv in (self.conv_1, self.conv_2)
               for v in (conv.shift, conv.log_scale))

  def call(self, kept, condition=None, condition_2=None, folded=None):
    if folded is None:
      folded, = self.folded([self], *convolution.image_size(kept))
    h = tf.cast(convolution.append_channels(kept, condition, condition_2),
                self.compute_dtype)
    h = tf.nn.relu(convolution.convolve(h, *folded[0]))
    h = tf.nn.relu(convolution.convolve(h, *folded[1]))
    return convolution.convolve(h, *folded[2])

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
    h = convolution.append_channels(kept, condition, condition_2)
    h = tf.nn.relu(self.conv_1.initialize(h))
    self.conv_2.initialize(h)

  def get_config(self):
    return {**super().get_config(), 'filters': self.filters,
            'width': self.width, 'interleaved': self.interleaved,
            'seed': self.seed}


def _kernel_shape(size, in_channels, out_channels):
  edge = 1 if size == 3 else 0
  return [size, size, in_channels + edge, out_channels]


def _scaled(layers, interleaved=False):
  """Kernels and biases of alike convolutions, and, apart, the edge's taps."""
  kernels, biases, log_scales = (
      [convolution.value_of(v) for v in alike] for alike in zip(*layers))
  count = len(kernels)
  # Next to the filters, the convolutions are as one with more filters.
  kernels = tf.stack(kernels, axis=3)
  biases = tf.stack(biases)
  size, _, channels, _, filters = kernels.shape
  scales = tf.exp(normalization.LOG_SCALE_FACTOR * tf.stack(log_scales))
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
