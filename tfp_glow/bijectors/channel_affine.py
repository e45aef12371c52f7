"""Layers that map each pixel's channels by one affine map."""

import tensorflow as tf

from tfp_glow import execution
from tfp_glow.bijectors import flow_bijector


class ChannelAffine(flow_bijector.FlowBijector):
  """Base of the layers that apply one affine map to every pixel's channels.

  ```none
  inverse:  x = y A + a            (row vectors of channels)
  forward:  y = x B + b            with B = A^-1, b = -a A^-1
  log |det dx/dy| = H W log |det A|
  ```

  A subclass names its variables in `weight_names` and gives these maps of their
  values. Neighbouring layers touch the image once, through the product of their
  matrices, and the small matrices of alike layers of a chain are computed
  together.
  """

  weight_names = ()
  prepares_each_way = True

  def __init__(self, channels, dtype, validate_args, name):
    if not isinstance(channels, int) or channels < 1:
      raise ValueError(
          f'`channels` must be a positive Python int, got {channels!r}.')
    super().__init__(is_constant_jacobian=True, dtype=dtype,
                     validate_args=validate_args, name=name)
    self._channels = channels

  @property
  def channels(self) -> int:
    """Number of channels."""
    return self._channels

  @property
  def weights(self):
    return tuple(getattr(self, name) for name in self.weight_names)

  def replace_weights(self, weights):
    for name, weight in zip(self.weight_names, weights):
      setattr(self, name, weight)

  @property
  def stack_key(self):
    return type(self), self.channels, self.dtype

  @property
  def fuse(self):
    return Fused

  def inverse_map(self, *weights):
    """Returns the map from data to latent.

    Args:
      *weights: Values of `weights`, of any number of layers: each a `Tensor`
        `[..., *shape]`.

    Returns:
      A: `Tensor` `[..., C, C]`, or its diagonal `[..., C]`.
      a: `Tensor` `[..., C]`.
      log_det: `Tensor` `[...]`, `log |det A|`, in nats a pixel.
    """
    raise NotImplementedError

  def forward_map(self, *weights):
    """Returns the map from latent to data: `B`, `b` and `log |det B|`."""
    raise NotImplementedError

  def prepare(self, weights, inverse, event_shape=None):
    del event_shape
    return (self.inverse_map if inverse else self.forward_map)(*weights)

  def apply(self, value, prepared, inverse, context):
    check_channels([self], value, 'y' if inverse else 'x')
    return apply_map(value, prepared)


class Fused(execution.Layer):
  """Neighbouring per-pixel layers as one: one matrix and one shift."""

  prepares_each_way = True
  event_ndims = 3

  def __init__(self, layers):
    """Fuses layers.

    Args:
      layers: List of `ChannelAffine`, nearest to the data first.
    """
    self._layers = layers
    self.stack_key = tuple(layer.stack_key for layer in layers)

  @property
  def weights(self):
    return tuple(w for layer in self._layers for w in layer.weights)

  @property
  def variables(self):
    """The variables of all layers."""
    return tuple(v for layer in self._layers for v in layer.variables)

  def prepare(self, weights, inverse, event_shape=None):
    weights, maps = iter(weights), []
    for layer in self._layers:
      of_layer = [next(weights) for _ in layer.weight_names]
      maps.append(layer.prepare(of_layer, inverse, event_shape))
    total, *rest = maps if inverse else reversed(maps)
    for one in rest:
      total = _then(total, one)
    return total

  def apply(self, value, prepared, inverse, context):
    check_channels(self._layers, value, 'y' if inverse else 'x')
    return apply_map(value, prepared)


def apply_map(value, one_map):
  """Applies matrix and shift to every pixel, and counts the pixels."""
  matrix, shift, log_det = one_map
  log_det *= num_pixels(value)
  if _is_diagonal(one_map):
    return value * matrix + shift, log_det
  rows = tf.reshape(value, [-1, value.shape[-1]])
  shape = value.shape.as_list()
  if shape.count(None) == 1:
    shape[shape.index(None)] = -1
  elif None in shape:
    shape = tf.shape(value)
  result = tf.reshape(
      tf.nn.bias_add(tf.matmul(rows, matrix), shift), shape)
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
    matrix = a * (b if _is_diagonal(first) else tf.expand_dims(b, -2))
    shift = a_shift * b
  else:
    matrix = tf.expand_dims(a, -1) * b if _is_diagonal(first) else a @ b
    # So small that a sum costs less than the call of a product.
    shift = tf.reduce_sum(tf.expand_dims(a_shift, -1) * b, axis=-2)
  return matrix, shift + b_shift, a_log_det + b_log_det
