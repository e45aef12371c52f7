"""Evaluates a segment without storing its activations.

The gradient goes back from the segment's output: it reconstructs each layer's
input, evaluates the layer once more and takes that layer's gradient. This is
Algorithm 1 of Gomez, Ren, Urtasun and Grosse, The Reversible Residual Network,
2017, https://arxiv.org/abs/1707.04585.
"""

import dataclasses

import tensorflow as tf

from tfp_glow import tf_internals
from tfp_glow.execution import context as context_lib
from tfp_glow.execution import contract
from tfp_glow.execution import plan
from tfp_glow.execution import prepared as prepared_lib
from tfp_glow.execution import stored


@dataclasses.dataclass(frozen=True)
class Way:
  """A segment in one direction, under one context.

  Attributes:
    segment: `Segment`.
    inverse: Whether the direction is from data to latent.
    context: `Context`.
    event_ndims: Rank of an event.
    tensors: What layers read beside their weights and their variables.
  """

  segment: plan.Segment
  inverse: bool
  context: context_lib.Context
  event_ndims: int
  tensors: tuple[tf.Tensor, ...]

  @property
  def steps(self):
    """The layers in the order of their evaluation."""
    return self.segment.ordered(self.inverse)

  def apply(self, value, prepared):
    """Returns the output, the log-determinant, and what each layer keeps."""
    return stored.apply(self.steps, value, prepared, self.inverse,
                        self.context, self.event_ndims)

  def sum(self, step, log_det, value):
    """Sums a layer's log-determinant over an event of the segment."""
    return contract.sum_log_det(
        log_det, value, step.event_ndims, self.event_ndims)


def way(segment, inverse, context, event_ndims):
  """Returns the `Way` whose `tensors` are the conditions."""
  return Way(segment, inverse, context, event_ndims, tuple(
      value for value in context.conditions.values()
      if tf.is_tensor(value) and value.dtype.is_floating))


def evaluate(segment, value, inverse, context, event_ndims):
  """Evaluates the layers; see `stored.evaluate`."""
  this = way(segment, inverse, context, event_ndims)
  event_shape = stored.event_shape(value, event_ndims)
  prepared = prepared_lib.prepare(this.steps, inverse, event_shape, context)
  flat = tf.nest.flatten([prepared[step] for step in this.steps])
  kept, closed_over = [], []

  def compute():
    if not any(step.may_close_over for step in this.steps):
      result, log_det, kept[:] = this.apply(value, prepared)
      return [result, log_det]
    with tf_internals.reads() as read:
      result, log_det, kept[:] = this.apply(value, prepared)
    named = {id(t) for t in (value, *flat, *this.tensors)}
    closed_over.extend(t for t in read if id(t) not in named)
    return [result, log_det]

  def vjp(variables, outputs, gradients):
    inside = dataclasses.replace(
        this, tensors=(*this.tensors, *(t for t, _ in watched)))
    _, by_tensor, by_variable = pull_back(
        inside, outputs[0], *gradients, prepared, kept)
    return by_tensor, [by_variable.get(v.ref()) for v in variables]

  inputs = [value, *flat, *this.tensors]
  watched = []

  def inputs_closed_over(variables):
    handles = {id(v.handle) for v in variables}
    watched.extend(
        (inner, outer) for inner, outer in tf_internals.watched(closed_over)
        if id(outer) not in handles)
    return [outer for _, outer in watched]

  return tf_internals.with_gradient(
      compute, inputs, vjp, inputs_closed_over)


def reconstruction(segment, value, inverse, context, event_ndims):
  """Returns the input as the gradient reconstructs it from the output."""
  this = way(segment, inverse, context.replaying(), event_ndims)
  prepared = prepared_lib.prepare(
      this.steps, inverse, stored.event_shape(value, event_ndims), context)
  result, log_det, kept = this.apply(value, prepared)
  return pull_back(this, result, tf.zeros_like(result),
                   tf.zeros_like(log_det), prepared, kept)[0]


def pull_back(this, output, d_output, d_log_det, prepared, kept):
  """Goes back to the input, and takes all gradients on the way.

  Args:
    this: `Way`.
    output: `Tensor`, the segment's output.
    d_output: `Tensor`, its gradient.
    d_log_det: `Tensor`, the gradient of the log-determinant.
    prepared: `dict` from layers to prepared weights.
    kept: List of what each layer keeps.

  Returns:
    value: The input.
    by_tensor: Gradients of the input, of the prepared weights, and of
      `this.tensors`.
    by_variable: `dict` of those of other variables, by reference.
  """
  back = prepared_lib.prepare_to_reconstruct(
      this.steps, prepared, this.inverse,
      stored.event_shape(output, this.event_ndims), this.context)
  # By position: a layer may stand in the row more than once.
  d_prepared, by_variable = [], {}
  d_tensors = [None] * len(this.tensors)
  done = [d_output, d_log_det]
  for step, kept_by_step in zip(reversed(this.steps), reversed(kept)):
    # Otherwise all inputs are reconstructed first, and all are kept.
    output = _after(done, output)
    output, d_output, d_weights, d_seen, d_variables = pull_back_step(
        this, step, output, d_output, d_log_det, kept_by_step,
        tf.nest.flatten(prepared[step]),
        lambda tape, step=step: (prepared[step], back[step]))
    d_prepared.append(d_weights)
    d_tensors = [_add(a, b) for a, b in zip(d_tensors, d_seen)]
    for reference, gradient in d_variables.items():
      by_variable[reference] = _add(by_variable.get(reference), gradient)
    done = [gradient for gradient in (
        d_output, *d_weights, *d_seen, *d_variables.values())
            if gradient is not None]
  by_tensor = [d_output, *tf.nest.flatten(d_prepared[::-1]), *d_tensors]
  return output, by_tensor, by_variable


def pull_back_step(this, step, output, d_output, d_log_det, kept, sources,
                   prepare):
  """Goes back one layer.

  Args:
    this: `Way`.
    step: `Layer`.
    output: `Tensor`, the layer's output.
    d_output: `Tensor`, its gradient.
    d_log_det: `Tensor`, the gradient of the segment's log-determinant.
    kept: What the layer keeps.
    sources: List of `Tensor` that the prepared weights are made of.
    prepare: Callable from the tape to the prepared weights, for the layer's
      direction and for the opposite one.

  Returns:
    value: The layer's input.
    d_value: Its gradient.
    d_sources: List of the gradients of `sources`; `None` is zero.
    d_tensors: List of the gradients of `this.tensors`.
    by_variable: `dict` of the gradients of variables, by reference.
  """
  with tf.GradientTape() as tape:
    tape.watch([*sources, *this.tensors])
    prepared, back = prepare(tape)
    value, parts, again, log_det = step.replay(
        tape, output, prepared, back, this.inverse, this.context.replaying(),
        kept)
    log_det = this.sum(step, log_det, value) + tf.zeros_like(d_log_det)
  variables = tape.watched_variables()
  lists = [parts, sources, this.tensors, variables]
  d_parts, d_sources, d_tensors, d_variables = _like(lists, tape.gradient(
      [again, log_det], [source for one in lists for source in one],
      [d_output, d_log_det]))
  d_parts = [tf.zeros_like(part) if d is None else d
             for part, d in zip(parts, d_parts)]
  return value, step.join(d_parts), d_sources, d_tensors, {
      v.ref(): d for v, d in zip(variables, d_variables)}


def _after(first, value):
  """Returns `value` with a control dependency on `first`."""
  with tf.control_dependencies(first):
    value = tf.identity(value)
  if not tf_internals.in_xla():
    return value
  # XLA forgets control dependencies, and for the CPU it orders operations when
  # it has dropped its own barriers. It does respect data dependencies, so make
  # `value` depend on `first` through a check for NaN.
  token = tf.add_n([
      tf.cast(tf.reshape(one, [-1])[0], value.dtype) for one in first])
  return tf.where(tf.math.is_nan(token), token, value)


def _like(lists, values):
  """Returns `values`, cut into lists of the lengths of `lists`."""
  values = iter(values)
  return [[next(values) for _ in one] for one in lists]


def _add(a, b):
  """Returns the sum, where `None` is zero."""
  if a is None or b is None:
    return b if a is None else a
  return a + b
