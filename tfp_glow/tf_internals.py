"""The only imports of private modules, with what each is needed for.

A new version of TensorFlow, TFP or Keras is work on this file alone.
"""

import contextlib

import tensorflow as tf

# `tf.custom_gradient` registers every gradient for good, and with it the graph
# that it belongs to; telling the tapes is all that `with_gradient` needs.
from tensorflow.python.eager import forwardprop_util
from tensorflow.python.eager import record

# What a computation reads that nobody has named: see `reads`.
from tensorflow.python.framework import op_callbacks

# For the CPU, XLA makes fast convolutions of those outside of loops alone.
from tensorflow.python.ops import control_flow_util

# The base of `bijectors.cache.FreshCache`.
from tensorflow_probability.python.internal import cache_util

BijectorCache = cache_util.BijectorCache
EphemeralDict = cache_util.EphemeralDict


def in_xla():
  """Returns whether XLA compiles the graph that is being traced."""
  return not tf.executing_eagerly() and (
      control_flow_util.GraphOrParentsInXlaContext(
          tf.compat.v1.get_default_graph()))


def is_in_forward_mode(tensors):
  """Returns whether a `tf.autodiff.ForwardAccumulator` follows a tensor."""
  return bool(forwardprop_util.pack_tangents(list(tensors)).tangents)


def is_recording():
  """Returns whether a gradient may be asked for."""
  return record.could_possibly_record()


def with_gradient(compute, inputs, vjp, more_inputs=lambda variables: []):
  """Computes `compute()`, with `vjp` as its gradient.

  What is computed on the way is recorded by no `tf.GradientTape`, so nothing
  of it is kept for the gradient. A tape outside of the `tf.function` that
  calls this does not see it: it has the gradient of what was computed.

  Args:
    compute: Callable from nothing to a list of `Tensor`.
    inputs: List of floating `Tensor`, those that `compute` depends on beside
      trainable variables.
    vjp: Callable from the variables that were read, the outputs, and their
      gradients, a list each, to two lists: the gradients with respect to
      `inputs`, those of `more_inputs` after them, and to the variables;
      `None` is zero.
    more_inputs: Callable from the variables that were read to a list of
      further inputs, called once `compute` has been. Default value: none.

  Returns:
    outputs: The result of `compute`.
  """
  if not is_recording():
    return compute()
  with record.VariableWatcher() as watcher, record.stop_recording():
    outputs = [tf.identity(output) for output in compute()]
  variables = list(watcher.watched_variables())
  inputs = [*inputs, *more_inputs(variables)]

  def gradient(*output_gradients):
    by_input, by_variable = vjp(variables, outputs, list(output_gradients))
    return [*by_input, *by_variable]

  record.record_operation(
      'WithGradient', outputs,
      [*inputs, *(tf.convert_to_tensor(v) for v in variables)], gradient)
  return outputs


@contextlib.contextmanager
def reads():
  """Collects the tensors that are read in the context and not made there.

  Yields:
    tensors: List of `Tensor`, the handles of variables among them.
  """
  made, read = set(), {}

  def note(op_type, inputs, attrs, outputs, op_name=None, graph=None):
    del attrs, op_name, graph
    if op_type in ('Const', 'Placeholder'):  # what a graph captures becomes one
      return
    for tensor in inputs:
      if id(tensor) not in made:
        read.setdefault(id(tensor), tensor)
    made.update(id(tensor) for tensor in outputs)

  tensors = []
  op_callbacks.add_op_callback(note)
  try:
    yield tensors
  finally:
    op_callbacks.remove_op_callback(note)
    tensors.extend(read.values())


def watched(tensors):
  """Picks what a `tf.GradientTape` watches.

  Args:
    tensors: List of `Tensor`.

  Returns:
    pairs: List of pairs: the tensor as it is known here, and as it is known
      where it was made, outside of the `tf.function` that captured it.
  """
  outside = {}
  if not tf.executing_eagerly():
    graph = tf.compat.v1.get_default_graph()
    outside = {id(inner): outer
               for outer, inner in getattr(graph, 'captures', ())}
  pairs = [(t, outside.get(id(t), t)) for t in tensors]
  return [(inner, outer) for inner, outer in pairs
          if record.should_record_backprop([outer])]


def adopt(variable, value):
  """Has a `keras.Variable` keep its value in another variable.

  Args:
    variable: `keras.Variable`.
    value: Anything with `assign` that converts to a `Tensor`, of its shape.
  """
  variable._value = value


def flatten_layers(layer):
  """Returns a Keras layer and all layers in it."""
  return layer._flatten_layers()


def no_merge_call():
  """Returns whether replicas may apply gradients within a branch."""
  return tf.__internal__.distribute.strategy_supports_no_merge_call()


def clear_cache(bijector):
  """Has TFP's cache of a bijector let go of what it remembers."""
  bijector._cache.clear()
