"""Batch normalisation as a layer of the flow."""

import tensorflow as tf

from tfp_glow import normalization
from tfp_glow.bijectors import channel_affine
from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import masks


class RunningMoments(tf.Module):
  """Mean and variance of each channel: of the batch, or running averages."""

  def __init__(self, channels, momentum=normalization.MOMENTUM,
               dtype=tf.float32, name=None):
    super().__init__(name=name)
    self.momentum = momentum
    self.mean = tf.Variable(
        tf.zeros([channels], dtype), trainable=False, name='running_mean',
        aggregation=tf.VariableAggregation.MEAN)
    self.variance = tf.Variable(
        tf.ones([channels], dtype), trainable=False, name='running_variance',
        aggregation=tf.VariableAggregation.MEAN)

  def __call__(self, values, context):
    """Returns mean and variance, `[C]` each, to normalise `values` with."""
    return normalization.batch_or_running(
        values, self.mean, self.variance, self.momentum, context)


class BatchNorm(flow_bijector.FlowBijector):
  """Normalises each channel by statistics of the batch, or running averages.

  ```none
  inverse:  x = (y - mean) / sqrt(variance + epsilon)
  forward:  y = x * sqrt(variance + epsilon) + mean
  log |det dx/dy| = -(number of pixels) sum_c log(variance[c] + epsilon) / 2
  ```

  With `training=True` mean and variance are the batch's (over all axes but
  the last), and the log-determinant is the one that RealNVP's program counts:
  that of the map with the statistics held fixed. Otherwise they are running
  averages, which move by `1 - momentum` a step, in `FlowModel.fit` and
  nowhere else. With a mask only the part that a coupling changed is
  normalised; on a checkerboard the statistics count the kept pixels as zeros,
  as in the program. `tfb.BatchNormalization` moves its averages whenever
  `inverse` is called, and knows no mask.

  #### Examples

  >>> norm = BatchNorm(2)
  >>> y = 3. + 2. * tf.random.stateless_normal([8, 4, 4, 2], [0, 0])
  >>> x = norm.inverse(y, training=True)
  >>> abs(float(tf.math.reduce_std(x)) - 1.) < 1e-2
  True
  >>> bool(tf.reduce_all(norm.running.mean == 0.))
  True

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 3.7. https://arxiv.org/abs/1605.08803
  """

  def __init__(self, channels: int, mask: masks.Mask | None = None,
               momentum: float = normalization.MOMENTUM,
               epsilon: float = normalization.EPSILON, event_ndims: int = 3,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'batch_norm'):
    """Starts from mean 0 and variance 1.

    Args:
      channels: Python `int`, number of channels that are normalised.
      mask: `ChannelHalves`, `Checkerboard`, `EvenOdd` or `None`: what is kept
        as it is. Default value: `None`, nothing.
      momentum: Python `float`, share of a running average that stays at each
        step. Default value: `0.9`.
      epsilon: Python `float`, added to variances. Default value: `1e-4`.
      event_ndims: Python `int`, rank of an event: 3 for images, 1 for vectors.
        Default value: `3`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'batch_norm'`.
    """
    super().__init__(
        forward_min_event_ndims=event_ndims,
        inverse_min_event_ndims=event_ndims,
        dtype=dtype, validate_args=validate_args, name=name)
    self._channels = channels
    self._mask = mask
    self._epsilon = epsilon
    self._event_ndims = event_ndims
    self.running = RunningMoments(channels, momentum, dtype)

  @property
  def channels(self):
    """Python `int`, number of channels that are normalised."""
    return self._channels

  def apply_and_keep(self, value, prepared, inverse, context):
    if not inverse:
      return *self._to_data(value, *self._moments_to_sample(context)), ()
    kept, changed = self._split(value, 'y')
    mean, variance = self.running(changed, context)
    x = (changed - mean) * tf.math.rsqrt(variance + self._epsilon)
    return (self._merge(kept, x), -self._log_scale(value, variance),
            (mean, variance))

  def apply(self, value, prepared, inverse, context):
    return self.apply_and_keep(value, prepared, inverse, context)[:2]

  def reconstruct(self, output, prepared, inverse, context, kept):
    if inverse:
      return self._to_data(output, *kept)[0]
    return super().reconstruct(output, prepared, inverse, context, kept)

  def _to_data(self, x, mean, variance):
    kept, changed = self._split(x, 'x')
    y = changed * tf.sqrt(variance + self._epsilon) + mean
    return self._merge(kept, y), self._log_scale(x, variance)

  def _moments_to_sample(self, context):
    if context.training:
      raise ValueError(
          f'`training=True` has no meaning in `forward` of {self.name}: the '
          'statistics of a batch are known only once it has been generated. '
          'Sample with the running averages, `training=False`.')
    return (tf.convert_to_tensor(self.running.mean),
            tf.convert_to_tensor(self.running.variance))

  def _split(self, value, argument):
    kept, changed = (None, value) if self._mask is None else (
        self._mask.split(value))
    channel_affine.check_channels([self], changed, argument)
    return kept, changed

  def _merge(self, kept, changed):
    if self._mask is None:
      return changed
    return self._mask.merge(kept, self._mask.only_changed(changed))

  def _log_scale(self, value, variance):
    """`log |det dy/dx|`: half the log-variances of all that is normalised."""
    log_scale = .5 * tf.math.log(variance + self._epsilon)
    if self._event_ndims == 1:
      return tf.reduce_sum(log_scale)
    normalised = tf.ones([*tf.unstack(tf.shape(value)[-3:-1]), 1], value.dtype)
    if self._mask is not None:
      normalised = self._mask.only_changed(normalised)
    return tf.reduce_sum(normalised) * tf.reduce_sum(log_scale)
