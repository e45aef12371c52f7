"""Trades height and width for channels."""

import tensorflow as tf

from tfp_glow.bijectors import flow_bijector

ORDERS = ('channel_major', 'position_major', 'alternating')


class Squeeze(flow_bijector.FlowBijector):
  """Turns each 2x2 block of pixels into four times the channels.

  ```none
  inverse:  [H, W, C] -> [H/2, W/2, 4C]
  forward:  [H/2, W/2, 4C] -> [H, W, C]
  log |det dx/dy| = 0
  ```

  The value at row `dy`, column `dx` of a block and channel `c` goes to channel

  ```none
  'channel_major':   c * 4 + dy * 2 + dx          (the papers' programs)
  'position_major':  (dy * 2 + dx) * C + c        (tf.nn.space_to_depth)
  'alternating':     position_major, but the positions in the order
                     (0,0), (1,1), (0,1), (1,0)   (RealNVP, between scales)
  ```

  #### Examples

  >>> squeeze = Squeeze()
  >>> squeeze.inverse(tf.zeros([7, 32, 32, 3])).shape
  TensorShape([7, 16, 16, 12])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 3.6. https://arxiv.org/abs/1605.08803
  """

  def __init__(self, order: str = 'channel_major', dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'squeeze'):
    """Chooses the order of the channels.

    Args:
      order: Python `str`, one of `'channel_major'`, `'position_major'` and
        `'alternating'`. Default value: `'channel_major'`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'squeeze'`.

    Raises:
      ValueError: If `order` is none of them.
    """
    if order not in ORDERS:
      raise ValueError(f'`order` must be one of {ORDERS}, got {order!r}.')
    super().__init__(is_constant_jacobian=True, dtype=dtype,
                     validate_args=validate_args, name=name)
    self._order = order

  @property
  def order(self):
    """Python `str`, the order of the channels."""
    return self._order

  def squeezed_shape(self, shape):
    """Shape `[H/2, W/2, 4C]` (or raises) of an image `[H, W, C]`."""
    height, width, channels = shape
    for argument, size in (('height', height), ('width', width)):
      if size is not None and size % 2:
        raise ValueError(
            f'`y` of {self.name} has {argument} {size}, in shape '
            f'{tuple(shape)}, but an even {argument} is needed.')
    return (height and height // 2, width and width // 2,
            channels and channels * 4)

  def unsqueezed_shape(self, shape):
    """Shape `[H, W, C]` (or raises) of a latent `[H/2, W/2, 4C]`."""
    height, width, channels = shape
    if channels is not None and channels % 4:
      raise ValueError(
          f'`x` of {self.name} has {channels} channels, in shape '
          f'{tuple(shape)}, but a multiple of 4 is needed.')
    return (height and height * 2, width and width * 2,
            channels and channels // 4)

  def apply(self, value, prepared, inverse, context):
    move = self._squeeze if inverse else self._unsqueeze
    return move(value), tf.zeros([], self.dtype)

  def _squeeze(self, y):
    event = self.squeezed_shape(y.shape[-3:])
    height, width, channels = tf.unstack(tf.shape(y)[-3:])
    blocks = tf.reshape(y, tf.stack(
        [-1, height // 2, 2, width // 2, 2, channels]))
    if self.order == 'channel_major':
      blocks = tf.transpose(blocks, [0, 1, 3, 5, 2, 4])
    else:
      blocks = tf.transpose(blocks, [0, 1, 3, 2, 4, 5])
    if self.order == 'alternating':
      blocks = tf.reshape(blocks, tf.stack(
          [-1, height // 2, width // 2, 4, channels]))
      blocks = tf.gather(blocks, [0, 3, 1, 2], axis=3)
    return _with_event(blocks, y, [height // 2, width // 2, 4 * channels],
                       event)

  def _unsqueeze(self, x):
    event = self.unsqueezed_shape(x.shape[-3:])
    height, width, channels = tf.unstack(tf.shape(x)[-3:])
    channels = channels // 4
    if self.order == 'channel_major':
      blocks = tf.reshape(x, tf.stack([-1, height, width, channels, 2, 2]))
      blocks = tf.transpose(blocks, [0, 1, 4, 2, 5, 3])
    else:
      blocks = tf.reshape(x, tf.stack([-1, height, width, 4, channels]))
      if self.order == 'alternating':
        blocks = tf.gather(blocks, [0, 2, 3, 1], axis=3)
      blocks = tf.reshape(blocks, tf.stack(
          [-1, height, width, 2, 2, channels]))
      blocks = tf.transpose(blocks, [0, 1, 3, 2, 4, 5])
    return _with_event(blocks, x, [2 * height, 2 * width, channels], event)

  def pass_feature_map(self, feature_map):
    return self._squeeze(feature_map)

  def _inverse_event_shape(self, shape):
    return _with_image(shape, self.squeezed_shape)

  def _forward_event_shape(self, shape):
    return _with_image(shape, self.unsqueezed_shape)

  def _inverse_event_shape_tensor(self, shape):
    return tf.concat(
        [shape[:-3], shape[-3:-1] // 2, shape[-1:] * 4], axis=0)

  def _forward_event_shape_tensor(self, shape):
    return tf.concat(
        [shape[:-3], shape[-3:-1] * 2, shape[-1:] // 4], axis=0)


def _with_image(shape, change):
  """Returns a shape with its last three axes changed, or one of unknown rank.
  """
  shape = tf.TensorShape(shape)
  if shape.rank is None:
    return shape
  return shape[:-3].concatenate(change(shape[-3:]))


def _with_event(blocks, like, event_tensor, event):
  """Reshapes to the batch shape of `like` and the given event shape."""
  result = tf.reshape(blocks, tf.concat(
      [tf.shape(like)[:-3], tf.stack(event_tensor)], axis=0))
  if like.shape.rank is not None:
    result.set_shape([*like.shape[:-3], *event])
  return result
