"""Activation normalisation."""

import tensorflow as tf

from tfp_glow import normalization
from tfp_glow.bijectors import channel_affine


class ActNorm(channel_affine.ChannelAffine):
  """Shifts and scales each channel, initialised from data.

  ```none
  inverse:  x = (y + shift) * exp(3 log_scale)
  forward:  y = x * exp(-3 log_scale) - shift
  log |det dx/dy| = H W sum_c 3 log_scale[c]
  ```

  `initialize(y)` sets `shift = -mean(y)` and `log_scale = log(1 / (std(y) +
  1e-6)) / 3`, over all axes but the last, so that `x` has mean 0 and standard
  deviation 1. `tfb.BatchNormalization` takes its statistics anew from every
  batch and changes them as a side effect, so it does not fit.

  #### Examples

  >>> actnorm = ActNorm(2)
  >>> y = 3. + 2. * tf.random.stateless_normal([8, 4, 4, 2], [0, 0])
  >>> x = actnorm.initialize(y)
  >>> abs(float(tf.reduce_mean(x))) < 1e-5
  True
  >>> actnorm.inverse_log_det_jacobian(y).shape
  TensorShape([8])

  #### References

  [1]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
       Convolutions. 2018. Section 3.1. https://arxiv.org/abs/1807.03039
  """

  weight_names = ('shift', 'log_scale')

  def __init__(self, channels: int, dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'actnorm'):
    """Makes the identity, until `initialize` is called.

    Args:
      channels: Python `int`, number of channels `C`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'actnorm'`.

    Raises:
      ValueError: If `channels` is not a positive integer.
    """
    super().__init__(channels, dtype, validate_args, name)
    self.shift = tf.Variable(tf.zeros([channels], dtype), name='shift')
    self.log_scale = tf.Variable(tf.zeros([channels], dtype), name='log_scale')

  @property
  def is_initialized(self):
    """Whether shift or scale have left their initial values."""
    return bool(tf.reduce_any(self.shift != 0.) |
                tf.reduce_any(self.log_scale != 0.))

  def inverse_map(self, shift, log_scale):
    log_scale *= normalization.LOG_SCALE_FACTOR
    scale = tf.exp(log_scale)
    return scale, shift * scale, tf.reduce_sum(log_scale, axis=-1)

  def forward_map(self, shift, log_scale):
    log_scale *= -normalization.LOG_SCALE_FACTOR
    return tf.exp(log_scale), -shift, tf.reduce_sum(log_scale, axis=-1)

  def _initialize(self, y):
    channel_affine.check_channels([self], y, 'y')
    shift, log_scale = normalization.standardising_shift_and_log_scale(y)
    self.shift.assign(shift)
    self.log_scale.assign(log_scale)
    return self.inverse(y)
