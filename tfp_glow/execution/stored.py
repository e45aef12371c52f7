"""Evaluates a segment the plain way: the gradient has what was computed."""

import tensorflow as tf

from tfp_glow.execution import contract
from tfp_glow.execution import prepared as prepared_lib


def evaluate(segment, value, inverse, context, event_ndims):
  """Evaluates the layers of a segment one after the other.

  Args:
    segment: `Segment`.
    value: `Tensor` `[..., *event]`.
    inverse: Whether to go from data to latent.
    context: `Context`.
    event_ndims: Rank of an event.

  Returns:
    result: `Tensor` `[..., *event]`.
    log_det: `Tensor`, `[...]` or `[]`.
  """
  prepared = prepared_lib.prepare(
      segment.steps, inverse, event_shape(value, event_ndims), context)
  return apply(segment.ordered(inverse), value, prepared, inverse, context,
               event_ndims)[:2]


def apply(steps, value, prepared, inverse, context, event_ndims):
  """Returns the output, the log-determinant, and what each layer keeps."""
  total = tf.zeros([], value.dtype)
  kept = []
  for step in steps:
    result, log_det, kept_by_step = step.apply_and_keep(
        value, prepared[step], inverse, context)
    total += contract.sum_log_det(
        log_det, value, step.event_ndims, event_ndims)
    value = result
    kept.append(kept_by_step)
  return value, total, kept


def event_shape(value, event_ndims):
  """Returns the shape of an event, ints where they are known."""
  static = value.shape[value.shape.rank - event_ndims:]
  if static.is_fully_defined():
    return tuple(static)
  dynamic = tf.unstack(tf.shape(value)[-event_ndims:])
  return tuple(known if known is not None else size
               for known, size in zip(static, dynamic))
