"""Convolutions with prepared kernels, and what conditions add to an input."""

import typing

import numpy as np
import tensorflow as tf


class Convolution(typing.NamedTuple):
  """A prepared convolution.

  Attributes:
    kernel: `Tensor` `[..., size, size, C, F]`, or the matrix `[..., C, F]` of
      a kernel of size 1.
    bias: `Tensor` `[..., F]`, or a map `[..., H, W, F]`, or `()`, zero.
    edge: `Tensor` `[..., size**2 + 1, F]`, what the map is made of: the kernel
      of the channel that marks the edge, then the bias; or `()`.
  """

  kernel: tf.Tensor
  bias: tf.Tensor | tuple = ()
  edge: tf.Tensor | tuple = ()


def with_edge_channel(kernel, bias, event_shape):
  """Prepares a convolution that sees one channel more than its input has.

  ```none
  edge = 1 on the ring of zero padding around the image, 0 inside
  conv([x, edge], kernel) + bias
      = conv(x, kernel without its last channel) + map,
  map = conv(edge, last channel of kernel) + bias
  ```

  The edge channel is the same for every image, so the map is, too, and is
  added like a bias.

  Args:
    kernel: `Tensor` `[..., size, size, C + 1, F]`.
    bias: `Tensor` `[..., F]`.
    event_shape: `(H, W, C)`, ints or scalar tensors, or `None`: the map is
      left to `convolve`.
  """
  *leading, size, _, channels, filters = kernel.shape
  # Not by slicing: the gradient of a split is one concatenation.
  inside, edge = tf.split(kernel, [channels - 1, 1], axis=-2)
  edge = tf.reshape(edge, [*leading, size**2, filters])
  # One product gives the map with its bias.
  edge = tf.concat([edge, tf.expand_dims(bias, -2)], axis=-2)
  if event_shape is None:
    return Convolution(inside, edge=edge)
  return Convolution(inside, _map(edge, *event_shape[:2]))


def convolve(inputs, convolution, dtype=None):
  """Convolves, and adds the bias, or the map, or nothing.

  Args:
    inputs: `Tensor` `[N, H, W, C]`.
    convolution: `Convolution`, with no leading axes.
    dtype: Type in which to compute. Default value: `None`, that of `inputs`.
  """
  kernel, bias, edge = convolution
  inputs = tf.cast(inputs, dtype or inputs.dtype)
  kernel = tf.cast(kernel, inputs.dtype)
  if not isinstance(edge, tuple):
    bias = _map(edge, *image_size(inputs))
  if tuple(kernel.shape[:-2]) == (1, 1):
    kernel = as_matrix(kernel)
  if kernel.shape.rank > 2:
    return _plus(tf.nn.conv2d(inputs, kernel, 1, 'SAME'), bias)
  # XLA transposes both operands of a convolution's gradient, not a product's.
  rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
  outputs = _plus(tf.matmul(rows, kernel), bias)
  return tf.reshape(outputs, [-1, *image_size(inputs), outputs.shape[-1]])


def joined(one, other):
  """Returns the convolution whose output is the sum of two."""
  return Convolution(
      one.kernel + other.kernel, one.bias + other.bias)


def composed(first, second):
  """Returns the convolution that is one, then one of 1x1, less its bias."""
  matrix = second.kernel[..., 0, 0, :, :]
  return Convolution(
      tf.einsum('...yxcf,...fg->...yxcg', first.kernel, matrix),
      tf.einsum('...f,...fg->...g', first.bias, matrix))


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


def image_size(images):
  """Returns height and width of `[N, H, W, C]`, as integers if known."""
  height, width = images.shape[1:3]
  if height is None or width is None:
    return tf.shape(images)[1], tf.shape(images)[2]
  return height, width


def per_filter(scale):
  """Returns `[..., 1, 1, 1, F]` of `[..., F]`, to scale kernels with."""
  # Not by slicing, whose gradient costs more than a reshape.
  *leading, filters = scale.shape
  return tf.reshape(scale, [*leading, 1, 1, 1, filters])


def as_matrix(kernel):
  """Returns `[..., C, F]` of a kernel `[..., 1, 1, C, F]`."""
  return tf.reshape(kernel, [*kernel.shape[:-4], *kernel.shape[-2:]])


def _map(edge, height, width):
  """Returns `[..., H, W, F]`: the convolved edge channel, and the bias."""
  *leading, taps, filters = edge.shape
  maps = tf.matmul(
      _taps_on_edge(height, width, taps - 1, edge.dtype), edge)
  return tf.reshape(maps, [*leading, height, width, filters])


def _taps_on_edge(height, width, taps, dtype):
  """Returns `[H*W, taps + 1]`: 1 where a tap is outside the image; then 1."""
  size = round(taps**.5)
  if isinstance(height, int) and isinstance(width, int):
    # With NumPy, so that the graph gets the values alone.
    rows, columns = (
        _outside(np.arange(length), length, size) for length in (height, width))
    outside = rows[:, None, :, None] | columns[None, :, None, :]
    outside = outside.reshape([height * width, taps])
    return tf.constant(np.pad(outside, [(0, 0), (0, 1)], constant_values=True),
                       dtype)
  rows, columns = (
      _outside(tf.range(length), length, size) for length in (height, width))
  outside = tf.reshape(rows[:, None, :, None] | columns[None, :, None, :],
                       [height * width, taps])
  return tf.pad(tf.cast(outside, dtype), [[0, 0], [0, 1]], constant_values=1)


def _outside(positions, length, size):
  """Returns `[length, size]`: whether a tap is outside, along one axis."""
  taps = positions[:, None] + np.arange(
      -(size // 2), size - size // 2, dtype=np.int32)
  return (taps < 0) | (taps >= length)


def _plus(outputs, bias):
  if isinstance(bias, tuple):
    return outputs
  bias = tf.cast(bias, outputs.dtype)
  if bias.shape.rank == 1:
    return tf.nn.bias_add(outputs, bias)
  return outputs + bias
