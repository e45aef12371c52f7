"""Mean and variance of each channel, and what is normalised by them.

The flow's layers (`bijectors.BatchNorm`, `bijectors.ActNorm`) and the networks
in it (`networks.OffsetBatchNorm`, `networks.ActNormConv2D`) share these.
"""

import contextlib
import threading

import tensorflow as tf

from tfp_glow import replicas

EPSILON = 1e-4
MOMENTUM = 0.9
# Glow's program learns a third of each log-scale, so that it learns faster.
LOG_SCALE_FACTOR = 3.

_local = threading.local()


@contextlib.contextmanager
def updating_running_averages(updating=True):
  """Within it, training-mode batch normalisation moves its averages, or not.

  `FlowModel.fit` is what enters it: no density, sample or gradient taken
  outside moves a running average. In a `tf.function` what counts is whether
  it was entered when the function was traced.
  """
  before = is_updating()
  _local.updating = updating
  try:
    yield
  finally:
    _local.updating = before


def is_updating():
  """Whether running averages are being updated in this thread."""
  return getattr(_local, 'updating', False)


def batch_or_running(values, running_mean, running_variance, momentum,
                     training):
  """Chooses what to normalise with, and moves the averages where asked to.

  Args:
    values: `Tensor` `[..., C]`, in the averages' dtype.
    running_mean: Variable `[C]`.
    running_variance: Variable `[C]`.
    momentum: Python `float`, share of an average that stays at each step.
    training: Python `bool`: statistics of `values` over all axes but the
      last, and over all replicas, or else the averages.

  Returns:
    mean: `Tensor` `[C]`.
    variance: `Tensor` `[C]`.
  """
  if not training:
    return (tf.convert_to_tensor(running_mean),
            tf.convert_to_tensor(running_variance))
  axes = list(range(values.shape.rank - 1))
  if replicas.count() == 1:
    mean, variance = tf.nn.moments(values, axes)
  else:
    mean, = replicas.mean([tf.reduce_mean(values, axes)])
    variance, = replicas.mean(
        [tf.reduce_mean(tf.square(values - mean), axes)])
  move_if_updating(running_mean, mean, momentum)
  move_if_updating(running_variance, variance, momentum)
  return mean, variance


def move_if_updating(average, new, momentum):
  """Moves a running average towards a new value, in `fit`.

  Args:
    average: Variable `[C]`.
    new: `Tensor` `[C]`.
    momentum: Python `float`, share of the average that stays.
  """
  if is_updating():
    average.assign(
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
  """What activation normalisation starts from.

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
