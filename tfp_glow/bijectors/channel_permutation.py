"""Fixed orders of the channels."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_glow import seeding
from tfp_glow.bijectors import channel_affine


class ChannelPermutation(channel_affine.ChannelAffine):
  """Puts the channels in another, fixed order.

  ```none
  inverse:  x[..., c] = y[..., order[c]]
  forward:  y[..., order[c]] = x[..., c]
  log |det dx/dy| = 0
  ```

  `tfb.Permute` does the same to one layer; this one can be fused with its
  neighbours by `Chain`.

  #### Examples

  >>> reverse = ChannelPermutation.reverse(3)
  >>> reverse.inverse(tf.reshape([1., 2., 3.], [1, 1, 3])).numpy().ravel()
  array([3., 2., 1.], dtype=float32)
  """

  weight_names = ('order',)

  def __init__(self, order: Sequence[int], dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'channel_permutation'):
    """Fixes the order.

    Args:
      order: `int`s `[C]`, each of `0 .. C-1` once: the channel of the data
        that each channel of the latent comes from.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'channel_permutation'`.

    Raises:
      ValueError: If `order` is not a permutation.
    """
    order = np.asarray(order)
    if order.ndim != 1 or sorted(order.tolist()) != list(range(order.size)):
      raise ValueError(
          '`order` must hold each of 0 .. C-1 once, got '
          f'{order.tolist()}.')
    super().__init__(order.size, dtype, validate_args, name)
    # A variable, so that a shuffle is saved and restored with the weights.
    self.order = tf.Variable(
        order.astype(np.int32), trainable=False, name='order')

  @classmethod
  def reverse(cls, channels, **kwargs):
    """Reverses the channels."""
    return cls(np.arange(channels)[::-1], **kwargs)

  @classmethod
  def shuffle(cls, channels, seed=None, **kwargs):
    """Shuffles the channels, once and for all."""
    generator = np.random.default_rng(seeding.not_negative(seed))
    return cls(generator.permutation(channels), **kwargs)

  def inverse_map(self, order):
    matrix, *rest = self.forward_map(order)
    return tf.linalg.matrix_transpose(matrix), *rest

  def forward_map(self, order):
    matrix = tf.one_hot(order, self.channels, dtype=self.dtype)
    zeros = tf.zeros_like(matrix[..., 0])
    return matrix, zeros, tf.reduce_sum(zeros, axis=-1)
