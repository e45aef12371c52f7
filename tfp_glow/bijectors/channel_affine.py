"""Layers that map each pixel's channels by one affine map."""

import tensorflow as tf

from tfp_glow import frozen
from tfp_glow.bijectors import flow_bijector


class ChannelAffine(flow_bijector.FlowBijector):
  """Base of the layers that apply one affine map to every pixel's channels.

  ```none
  inverse:  x = y A + a            (row vectors of channels)
  forward:  y = x B + b            with B = A^-1, b = -a A^-1
  log |det dx/dy| = H W log |det A|
  ```

  A subclass gives these maps of its `affine_weights`. Neighbouring layers
  touch the image once, through the product of their matrices, and the small
  matrices of alike layers of a chain are computed together.
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

  @property
  def affine_weights(self):
    """The variables that the maps are made of."""
    raise NotImplementedError

  @staticmethod
  def inverse_map(*weights):
    """The map from data to latent.

    Args:
      *weights: `affine_weights`, of any number of layers: each a `Tensor`
        `[..., *shape]`.

    Returns:
      A: `Tensor` `[..., C, C]`, or its diagonal `[..., C]`.
      a: `Tensor` `[..., C]`.
      log_det: `Tensor` `[...]`, `log |det A|`, in nats a pixel.
    """
    raise NotImplementedError

  @staticmethod
  def forward_map(*weights):
    """The map from latent to data: `B`, `b` and `log |det B|`."""
    raise NotImplementedError

  def _inverse_and_log_det(self, y):
    check_channels([self], y, 'y')
    return apply_map(y, group_maps([[self]], inverse=True)[0])

  def _forward_and_log_det(self, x):
    check_channels([self], x, 'x')
    return apply_map(x, group_maps([[self]], inverse=False)[0])


def group_maps(groups, inverse):
  """The maps of groups of neighbouring layers, each group's as one.

  Args:
    groups: List of `K` alike lists of layers, nearest to the data first.
    inverse: Python `bool`, from data to latent, or back.

  Returns:
    maps: List of `K` triples of matrix, shift and log-determinant.
  """
  def maps():
    weights = [[tf.stack(of_each) for of_each in zip(*(
        layer.affine_weights for layer in layers))] for layers in zip(*groups)]
    return multiplied_map(groups[0], weights, inverse)

  key = (*(id(layer) for layers in groups for layer in layers), inverse)
  return list(zip(*map(tf.unstack, frozen.once(key, maps))))


def multiplied_map(layers, weights, inverse):
  """The map of neighbouring layers as one, of weights given for them.

  Args:
    layers: List of layers, nearest to the data first.
    weights: List of what takes the place of `affine_weights` of each: for
      each a `Tensor` `[K, *shape]`.
    inverse: Python `bool`, from data to latent, or back.

  Returns:
    matrix: `Tensor` `[K, C, C]`, or its diagonal `[K, C]`.
    shift: `Tensor` `[K, C]`.
    log_det: `Tensor` `[K]`.
  """
  total = None
  pairs = list(zip(layers, weights))
  for layer, of_layer in pairs if inverse else reversed(pairs):
    make = layer.inverse_map if inverse else layer.forward_map
    one = make(*of_layer)
    total = one if total is None else _then(total, one)
  return total


def apply_map(value, one_map):
  """Applies matrix and shift to every pixel, and counts the pixels."""
  matrix, shift, log_det = one_map
  log_det *= num_pixels(value)
  if _is_diagonal(one_map):
    return value * matrix + shift, log_det
  rows = tf.reshape(value, [-1, value.shape[-1]])
  shape = value.shape if value.shape.is_fully_defined() else tf.shape(value)
  result = tf.reshape(tf.matmul(rows, matrix) + shift, shape)
  result.set_shape(value.shape)
  return result, log_det


def check_channels(layers, value, argument):
  """Raises if `value` has another number of channels than one of `layers`."""
  for layer in layers:
    if value.shape[-1] != layer.channels:
      raise ValueError(
          f'`{argument}` of {layer.name} has {value.shape[-1]} channels '
          f'(shape {value.shape}), but {layer.channels} are needed.')


def num_pixels(value):
  """Height times width of `[..., H, W, C]`, in its dtype."""
  shape = value.shape[-3:-1]
  if shape.is_fully_defined():
    return tf.constant(shape.num_elements(), value.dtype)
  return tf.cast(tf.reduce_prod(tf.shape(value)[-3:-1]), value.dtype)


def _is_diagonal(one_map):
  matrix, shift, _ = one_map
  return matrix.shape.rank == shift.shape.rank


def _then(first, second):
  """Two maps, one after the other, as one."""
  (a, a_shift, a_log_det), (b, b_shift, b_log_det) = first, second
  if _is_diagonal(second):
    matrix = a * (b if _is_diagonal(first) else b[..., None, :])
    shift = a_shift * b
  else:
    matrix = a[..., None] * b if _is_diagonal(first) else a @ b
    # So small that a sum costs less than the call of a product.
    shift = tf.reduce_sum(a_shift[..., None] * b, axis=-2)
  return matrix, shift + b_shift, a_log_det + b_log_det
