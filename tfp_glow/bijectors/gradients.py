"""Operations that bring their own gradient."""

import tensorflow as tf

# `tf.custom_gradient` registers every gradient for good, and with it the graph
# that it belongs to; what it tells the tapes is all that is needed here.
from tensorflow.python.eager import record


def with_gradient(compute, inputs, pull_back):
  """Computes something, whose gradient is what `pull_back` says.

  What is computed on the way is recorded by no `tf.GradientTape`, so nothing
  of it is kept for the gradient. A tape outside of the `tf.function` that
  calls this does not see it: it has the gradient of what was computed.

  Args:
    compute: Callable from nothing to a list of `Tensor`.
    inputs: List of floating `Tensor`, those that `compute` depends on beside
      trainable variables.
    pull_back: Callable from `variables`, those that were read, the outputs,
      and their gradients, a list each, to two lists: the gradients with
      respect to `inputs`, and to `variables`; `None` is zero.

  Returns:
    outputs: What `compute` gave.
  """
  if not record.could_possibly_record():
    return compute()
  with record.VariableWatcher() as watcher, record.stop_recording():
    outputs = [tf.identity(output) for output in compute()]
  variables = list(watcher.watched_variables())

  def gradient(*output_gradients):
    by_input, by_variable = pull_back(
        variables, outputs, list(output_gradients))
    return [*by_input, *by_variable]

  record.record_operation(
      'WithGradient', outputs,
      [*inputs, *(tf.convert_to_tensor(v) for v in variables)], gradient)
  return outputs
