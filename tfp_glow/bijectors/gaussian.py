"""The Gaussian of a prior, as the map that standardises it."""

import tensorflow as tf


def standardise(value, mean, log_scale):
  """Returns `(value - mean) / scale`, and `log |det|`, minus all log-scales.

  Args:
    value: `Tensor` `[..., H, W, C]`.
    mean: `Tensor` that broadcasts to it.
    log_scale: `Tensor` that broadcasts to it.
  """
  return (value - mean) * tf.exp(-log_scale), -_sum_like(log_scale, value)


def restore(value, mean, log_scale):
  """Returns `mean + scale * value`, and `log |det|`, all log-scales."""
  return mean + tf.exp(log_scale) * value, _sum_like(log_scale, value)


def _sum_like(log_scale, value):
  """Sums over events of the shape of `value`, one for each in a batch."""
  ones = tf.ones(tf.shape(value)[-3:], log_scale.dtype)
  return tf.reduce_sum(log_scale * ones, axis=[-3, -2, -1])
