"""Networks whose weights are prepared apart from the data."""

import keras
import tensorflow as tf

from tfp_glow.execution import context as context_lib
from tfp_glow.execution import stored


class PreparedNetwork(keras.layers.Layer):
  """Base of Keras layers that split work on weights from work on data.

  ```none
  prepared = prepare(weights, event_shape)    of weights, with any leading axes
  y        = apply(prepared, kept, *conditions)
  ```

  In a flow the weights of all alike networks are prepared together, once an
  evaluation; in a SavedModel, once and for all. Alone it is a layer like any
  other. A subclass that has a `call` of its own is called, and not prepared.
  """

  # Equal for networks that differ in the values of their weights alone and
  # read no variable in `apply`; `None` for a network like no other.
  stack_key = None

  @property
  def prepared_variables(self):
    """List of `keras.Variable`, those whose values `prepare` takes."""
    return self.variables

  def prepare(self, weights, event_shape=None):
    """Computes what depends on weights alone.

    Args:
      weights: List of `Tensor` `[..., *shape]`, values of
        `prepared_variables`.
      event_shape: Shape of an input without its batch axis, ints or scalar
        tensors, or `None` where the result is stored for inputs of any shape.

    Returns:
      prepared: Structure of `Tensor` with the same leading axes.
    """
    raise NotImplementedError

  def apply(self, prepared, kept, *conditions, context, dtype):
    """Evaluates the network.

    Args:
      prepared: Result of `prepare`.
      kept: `Tensor` `[N, ...]`.
      *conditions: `Tensor`s, maps `[N, H, W, K]` or vectors `[N, K]`.
      context: `Context`.
      dtype: Name of the type in which to compute.

    Returns:
      y: `Tensor` `[N, ...]`.
    """
    raise NotImplementedError

  def call(self, kept, condition=None, condition_2=None, training=False):
    prepared = self.prepare(
        [tf.convert_to_tensor(v) for v in self.prepared_variables],
        stored.event_shape(kept, kept.shape.rank - 1))
    conditions = [c for c in (condition, condition_2) if c is not None]
    return self.apply(
        prepared, kept, *conditions, context=context_lib.Context(training),
        dtype=self.compute_dtype)


def is_prepared(network):
  """Returns whether a network is prepared: it has no `call` of its own."""
  return isinstance(network, PreparedNetwork) and (
      type(network).call is PreparedNetwork.call)
