"""Mean and variance of each channel, and what is normalised by them.

The flow's layers (`bijectors.BatchNorm`, `bijectors.ActNorm`) and the networks
in it (`networks.OffsetBatchNorm`, `networks.ActNormConv2D`) share these.
"""

import tensorflow as tf

from tfp_glow import replicas

EPSILON = 1e-4
MOMENTUM = 0.9
# Glow's program learns a third of each log-scale, so that it learns faster.
LOG_SCALE_FACTOR = 3.


def batch_or_running(values, running_mean, running_variance, momentum,
                     context):
  """Chooses the moments to normalise with, and notes how the averages move.

  Args:
    values: `Tensor` `[..., C]`, in the averages' dtype.
    running_mean: Variable `[C]`.
    running_variance: Variable `[C]`.
    momentum: Python `float`, share of an average that stays at each step.
    context: `Context`: in training the moments are those of `values` over all
      axes but the last, and over all replicas; otherwise the averages.

  Returns:
    mean: `Tensor` `[C]`.
    variance: `Tensor` `[C]`.
  """
  if not context.training:
    return (tf.convert_to_tensor(running_mean),
            tf.convert_to_tensor(running_variance))
  axes = list(range(values.shape.rank - 1))
  if replicas.count() == 1:
    mean, variance = tf.nn.moments(values, axes)
  else:
    mean, = replicas.mean([tf.reduce_mean(values, axes)])
    variance, = replicas.mean(
        [tf.reduce_mean(tf.square(values - mean), axes)])
  move(context, running_mean, mean, momentum)
  move(context, running_variance, variance, momentum)
  return mean, variance


def move(context, average, new, momentum):
  """Notes that a running average moves towards a new value, in `fit`.

  No density, sample or gradient taken outside of `fit` moves one.

  Args:
    context: `Context`, whose `updates` takes the note, where there is one.
    average: Variable `[C]`.
    new: `Tensor` `[C]`.
    momentum: Python `float`, share of the average that stays.
  """
  if context.updates is not None:
    context.updates.add(
        average,
        momentum * tf.convert_to_tensor(average) + (1. - momentum) * new)


def batch_normalised(values, offset, epsilon):
  """Normalises by the batch's moments, in one operation each way.

  Args:
    values: float32 `Tensor` `[N, H, W, C]`, all of the batch.
    offset: `Tensor` `[C]`.
    epsilon: Python `float`, added to variances.

  Returns:
    normalised: `Tensor` `[N, H, W, C]`, `(values - mean) / sqrt(variance +
      epsilon) + offset`.
    mean: `Tensor` `[C]`.
    variance: `Tensor` `[C]`.
  """
  normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
      x=values, scale=tf.ones_like(offset), offset=offset, mean=[],
      variance=[], epsilon=epsilon)
  # The operation gives the unbiased estimate; the batch's own is wanted.
  count = tf.cast(tf.size(values) / tf.size(offset), variance.dtype)
  return normalised, mean, variance * (count - 1.) / count


def standardising_shift_and_log_scale(values):
  """Computes the initial values of activation normalisation.

  ```none
  shift = -mean(values),   log_scale = log(1 / (std(values) + 1e-6)) / 3
  ```

  Args:
    values: `Tensor` `[..., C]`.

  Returns:
    shift: `Tensor` `[C]`.
    log_scale: `Tensor` `[C]`.
  """
  axes = list(range(values.shape.rank - 1))
  mean = tf.reduce_mean(values, axes)
  std = tf.sqrt(tf.reduce_mean(tf.square(values - mean), axes))
  return -mean, tf.math.log(1. / (std + 1e-6)) / LOG_SCALE_FACTOR
