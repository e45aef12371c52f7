"""Evaluates alike steps in a loop, so that no graph grows with depth."""

import tensorflow as tf

from tfp_glow import tf_internals
from tfp_glow.execution import prepared as prepared_lib
from tfp_glow.execution import reversible
from tfp_glow.execution import stored


def fits(segment):
  """Returns whether the graph that is traced can scan over a segment.

  For the CPU, XLA makes fast convolutions of those outside of loops alone
  (https://github.com/jax-ml/jax/issues/12868): about 30 times the time.
  """
  return segment.period > 0 and not (
      tf.executing_eagerly() or tf_internals.in_xla())


def evaluate(segment, value, inverse, context, event_ndims):
  """Evaluates the layers without storing activations; see `stored.evaluate`.

  Weights are prepared within the loop, so that prepared weights are there for
  one step at a time.
  """
  this = reversible.way(segment, inverse, context, event_ndims)
  stacks = [prepared_lib.stacked_weights(segment.steps[k::segment.period])
            for k in range(segment.period)]

  def vjp(variables, outputs, gradients):
    if variables:
      raise ValueError(
          f'A layer with a `stack_key` reads the variable {variables[0].name} '
          'in `apply`: list it in `weights`, and use what `prepare` made of '
          'it.')
    return _pull_back(this, outputs[0], *gradients, stacks), []

  return tf_internals.with_gradient(
      lambda: _apply(this, value, stacks),
      [value, *tf.nest.flatten(stacks), *this.tensors], vjp)


def _positions(this):
  """Returns which row of the stacks is evaluated in which turn."""
  count = len(this.segment.steps) // this.segment.period
  return count, (lambda k: k) if this.inverse else (lambda k: count - 1 - k)


def _apply(this, value, stacks):
  """Returns the output and the log-determinant."""
  count, row_of = _positions(this)
  steps = list(zip(this.segment.steps, stacks))
  shape = value.shape
  event_shape = stored.event_shape(value, this.event_ndims)
  zeros = tf.zeros_like(tf.reduce_sum(
      value, axis=list(range(-this.event_ndims, 0))))

  def body(k, value, total):
    for step, stack in steps if this.inverse else reversed(steps):
      prepared = step.prepare(
          [weights[row_of(k)] for weights in stack], this.inverse,
          event_shape)
      result, log_det = step.apply(
          value, prepared, this.inverse, this.context)
      total += this.sum(step, log_det, value)
      value = tf.ensure_shape(result, shape)
    return k + 1, value, total

  _, value, total = tf.while_loop(
      lambda k, *_: k < count, body, [0, value, zeros],
      parallel_iterations=1, maximum_iterations=count)
  return [value, total]


def _pull_back(this, output, d_output, d_log_det, stacks):
  """Returns gradients of the input, the stacked weights and the conditions."""
  count, row_of = _positions(this)
  steps = list(enumerate(zip(this.segment.steps, stacks)))
  shape = output.shape
  event_shape = stored.event_shape(output, this.event_ndims)

  def body(k, output, d_output, d_tensors, d_stacks):
    k -= 1
    d_stacks = list(d_stacks)
    for position, (step, stack) in (
        reversed(steps) if this.inverse else steps):
      rows = [weights[row_of(k)] for weights in stack]

      def prepare(tape, step=step, rows=rows):
        prepared = step.prepare(rows, this.inverse, event_shape)
        if not step.prepares_each_way:
          return prepared, prepared
        with tape.stop_recording():
          return prepared, step.prepare(rows, not this.inverse, event_shape)

      output, d_output, d_rows, d_seen, _ = reversible.pull_back_step(
          this, step, output, d_output, d_log_det, (), rows, prepare)
      output = tf.ensure_shape(output, shape)
      d_output = tf.ensure_shape(d_output, shape)
      d_tensors = [total if d is None else total + d
                   for total, d in zip(d_tensors, d_seen)]
      d_stacks[position] = [
          total if d is None else tf.tensor_scatter_nd_update(
              total, [[row_of(k)]], d[None])
          for total, d in zip(d_stacks[position], d_rows)]
    return k, output, d_output, d_tensors, d_stacks

  _, _, d_output, d_tensors, d_stacks = tf.while_loop(
      lambda k, *_: k > 0, body,
      [count, output, d_output, [tf.zeros_like(t) for t in this.tensors],
       [[tf.zeros_like(weights) for weights in stack] for stack in stacks]],
      parallel_iterations=1, maximum_iterations=count)
  return [d_output, *tf.nest.flatten(d_stacks), *d_tensors]
