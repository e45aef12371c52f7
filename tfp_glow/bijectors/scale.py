"""NICE's scale layer."""

import tensorflow as tf

from tfp_glow.bijectors import flow_bijector


class Scale(flow_bijector.FlowBijector):
  """Multiplies each component of a vector by a learned positive factor.

  ```none
  inverse:  x = y * exp(log_scale)
  forward:  y = x * exp(-log_scale)
  log |det dx/dy| = sum_d log_scale[d]
  ```

  `tfb.Scale` reads its vector as a batch of scalar scales, and goes the other
  way: NICE scales from data to latent.

  #### Examples

  >>> scale = Scale(3)
  >>> _ = scale.log_scale.assign([0., 1., 2.])
  >>> float(scale.inverse_log_det_jacobian(tf.ones([3])))
  3.0

  #### References

  [1]: Dinh, Krueger and Bengio. NICE: Non-linear Independent Components
       Estimation. 2014. Section 3.3. https://arxiv.org/abs/1410.8516
  """

  def __init__(self, size: int, dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'scale'):
    """Makes the identity.

    Args:
      size: Python `int`, number of components `D`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'scale'`.
    """
    super().__init__(
        forward_min_event_ndims=1, inverse_min_event_ndims=1,
        is_constant_jacobian=True, dtype=dtype, validate_args=validate_args,
        name=name)
    self.log_scale = tf.Variable(tf.zeros([size], dtype), name='log_scale')

  def apply(self, value, prepared, inverse, context):
    self._check_size(value, 'y' if inverse else 'x')
    log_scale = self.log_scale if inverse else -self.log_scale
    return value * tf.exp(log_scale), tf.reduce_sum(log_scale)

  def _check_size(self, value, argument):
    if value.shape[-1] != self.log_scale.shape[0]:
      raise ValueError(
          f'`{argument}` of {self.name} has {value.shape[-1]} components '
          f'(shape {value.shape}), but {self.log_scale.shape[0]} are needed.')
