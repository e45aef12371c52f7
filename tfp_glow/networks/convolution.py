"""What the networks' convolutions have in common."""

import tensorflow as tf


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


def value_of(variable):
  return tf.convert_to_tensor(variable)


def image_size(images):
  """Height and width of `[N, H, W, C]`, as integers if they are known."""
  height, width = images.shape[1:3]
  if height is None or width is None:
    return tf.shape(images)[1], tf.shape(images)[2]
  return height, width


def convolve(inputs, kernel, bias):
  """Convolution plus bias, or plus a map, or plus nothing."""
  kernel = tf.cast(kernel, inputs.dtype)
  if kernel.shape[:2] != (1, 1):
    return _plus(tf.nn.conv2d(inputs, kernel, 1, 'SAME'), bias)
  # XLA transposes both operands of a convolution's gradient, not a product's.
  rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
  outputs = _plus(tf.matmul(rows, as_matrix(kernel)), bias)
  return tf.reshape(outputs, [-1, *image_size(inputs), outputs.shape[-1]])


def as_matrix(kernel):
  """`[C, F]` of a kernel `[1, 1, C, F]`."""
  return tf.reshape(kernel, kernel.shape[2:])


def _plus(outputs, bias):
  if bias is None:
    return outputs
  bias = tf.cast(bias, outputs.dtype)
  if bias.shape.rank == 1:
    return tf.nn.bias_add(outputs, bias)
  return outputs + bias
