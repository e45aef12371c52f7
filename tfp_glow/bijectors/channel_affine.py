"""Layers that map each pixel's channels by one affine map."""

import tensorflow as tf

from tfp_glow.bijectors import flow_bijector


class ChannelAffine(flow_bijector.FlowBijector):
  """Base of the layers that apply one affine map to every pixel's channels.

  ```none
  inverse:  x = y A + a            (row vectors of channels)
  forward:  y = x B + b            with B = A^-1, b = -a A^-1
  log |det dx/dy| = H W log |det A|
  ```

  A subclass gives `A, a` and `B, b` and `log |det A|`. `Chain` multiplies the
  small matrices of neighbouring layers and touches the image once.
  """

  def __init__(self, channels, dtype, validate_args, name):
    if not isinstance(channels, int) or channels < 1:
      raise ValueError(
          f'`channels` must be a positive Python int, got {channels!r}.')
    super().__init__(dtype=dtype, validate_args=validate_args, name=name)
    self._channels = channels

  @property
  def channels(self):
    """Python `int`, number of channels."""
    return self._channels

  def inverse_affine(self):
    """`A` `[C, C]` and `a` `[C]` of the map from data to latent."""
    raise NotImplementedError

  def forward_affine(self):
    """`B` `[C, C]` and `b` `[C]` of the map from latent to data."""
    raise NotImplementedError

  def log_det_per_pixel(self):
    """`log |det A|`, `[]`, in nats a pixel."""
    raise NotImplementedError

  def _inverse_and_log_det(self, y):
    return inverse_and_log_det([self], y)

  def _forward_and_log_det(self, x):
    return forward_and_log_det([self], x)


def inverse_and_log_det(layers, y):
  """Applies neighbouring layers, nearest to the data first, as one."""
  for layer in layers:
    check_channels(layer, y, 'y')
  matrix, shift = layers[0].inverse_affine()
  for layer in layers[1:]:
    a, b = layer.inverse_affine()
    matrix, shift = matrix @ a, tf.linalg.matvec(
        a, shift, transpose_a=True) + b
  log_det = sum(layer.log_det_per_pixel() for layer in layers)
  return affine(y, matrix, shift), log_det * num_pixels(y)


def forward_and_log_det(layers, x):
  """Applies neighbouring layers, nearest to the data first, backwards."""
  for layer in layers:
    check_channels(layer, x, 'x')
  matrix, shift = layers[-1].forward_affine()
  for layer in layers[-2::-1]:
    a, b = layer.forward_affine()
    matrix, shift = matrix @ a, tf.linalg.matvec(
        a, shift, transpose_a=True) + b
  log_det = sum(layer.log_det_per_pixel() for layer in layers)
  return affine(x, matrix, shift), -log_det * num_pixels(x)


def affine(x, matrix, shift):
  """`x @ matrix + shift` along the last axis."""
  rows = tf.reshape(x, [-1, x.shape[-1]])
  result = tf.reshape(tf.matmul(rows, matrix) + shift, tf.shape(x))
  result.set_shape(x.shape)
  return result


def check_channels(layer, value, argument):
  """Raises if `value` has another number of channels than `layer`."""
  if value.shape[-1] != layer.channels:
    raise ValueError(
        f'`{argument}` of {layer.name} has {value.shape[-1]} channels (shape '
        f'{value.shape}), but {layer.channels} are needed.')


def num_pixels(value):
  """Height times width of `[..., H, W, C]`, in its dtype."""
  shape = value.shape[-3:-1]
  if shape.is_fully_defined():
    return tf.constant(shape.num_elements(), value.dtype)
  return tf.cast(tf.reduce_prod(tf.shape(value)[-3:-1]), value.dtype)
