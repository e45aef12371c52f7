"""The contract between a layer and the engine that evaluates it."""

import tensorflow as tf


class Layer:
  """One step of a row: prepared weights, and the formula that uses them.

  ```none
  prepared        = prepare(weights, inverse, event_shape)
  value, log_det  = apply(value, prepared, inverse, context)
  ```

  `prepare` is pure work on weights: it takes values in place of the variables,
  with any leading axes, so that alike layers are prepared together. `apply`
  touches the data. A layer that implements these two gets graphs, XLA, stored
  and reconstructed activations, the scan over alike layers, and export.
  """

  # Equal for layers that differ in the values of `weights` alone, and whose
  # `apply` reads no variable itself; `None` for a layer like no other.
  stack_key = None
  # Whether `prepare` gives something else for each direction.
  prepares_each_way = False
  # Whether `prepare` is told the event's shape even where the result is stored.
  prepares_for_event = False
  # Whether the event keeps its shape, so that the layer can be in a segment.
  keeps_event_shape = True
  # Whether all variables have been made.
  is_built = True
  # Whether `apply` may read tensors that it was not given, as a network of a
  # user's own may.
  may_close_over = False

  @property
  def weights(self):
    """Tuple of variables, or of views of them, that `prepare` reads."""
    return ()

  @property
  def event_ndims(self):
    """Rank of an event."""
    raise NotImplementedError

  @property
  def fuse(self):
    """Function that makes one layer of a list of neighbours with the same."""
    return None

  def prepare(self, weights, inverse, event_shape=None):
    """Computes what depends on weights alone.

    Args:
      weights: List of `Tensor` `[..., *shape]`, values of `weights`.
      inverse: Whether the direction is from data to latent.
      event_shape: Shape of an event, ints or scalar tensors, or `None` where
        the result is stored for events of any shape: maps of the size of the
        image are larger than the weights that they come from.

    Returns:
      prepared: Structure of `Tensor` with the same leading axes.
    """
    del weights, inverse, event_shape
    return ()

  def apply(self, value, prepared, inverse, context):
    """Evaluates the layer.

    Args:
      value: `Tensor` `[..., *event]`.
      prepared: Result of `prepare`.
      inverse: Whether to go from data to latent.
      context: `Context`.

    Returns:
      result: `Tensor` `[..., *event]`.
      log_det: `Tensor` `[...]` or `[]`, in nats.
    """
    raise NotImplementedError

  def apply_and_keep(self, value, prepared, inverse, context):
    """Evaluates the layer, and returns third what `reconstruct` needs."""
    return *self.apply(value, prepared, inverse, context), ()

  def reconstruct(self, output, prepared, inverse, context, kept):
    """Computes the input of `apply` from its output.

    Args:
      output: `Tensor` `[..., *event]`.
      prepared: Result of `prepare` for the opposite direction.
      inverse: The direction of `apply`.
      context: `Context`.
      kept: Third result of `apply_and_keep`.
    """
    del kept
    return self.apply(output, prepared, not inverse, context)[0]

  def replay(self, tape, output, prepared, back, inverse, context, kept):
    """Reconstructs the input, then evaluates the layer again under a tape.

    Args:
      tape: `tf.GradientTape` that records.
      output: `Tensor` `[..., *event]`, the output of `apply`.
      prepared: Result of `prepare`.
      back: Result of `prepare` for the opposite direction.
      inverse: The direction of `apply`.
      context: `Context`.
      kept: Third result of `apply_and_keep`.

    Returns:
      value: The input.
      parts: List of `Tensor`, watched by the tape, that make up the input.
      output: The output again.
      log_det: The log-determinant again.
    """
    with tape.stop_recording():
      value = self.reconstruct(output, back, inverse, context, kept)
    tape.watch(value)
    return value, [value], *self.apply(value, prepared, inverse, context)

  def join(self, gradients):
    """Returns the gradient of the input, from those of its parts."""
    return gradients[0]


def sum_log_det(log_det, value, event_ndims, of_event_ndims):
  """Sums a log-determinant over the axes of an event of higher rank.

  Args:
    log_det: `Tensor`, `[...]` or `[]`.
    value: `Tensor` `[..., *event]`.
    event_ndims: Rank of the event that the log-determinant is of.
    of_event_ndims: Rank of the event that it is summed for.
  """
  if event_ndims == of_event_ndims:
    return log_det
  return tf.reduce_sum(
      per_event(log_det, value, event_ndims),
      axis=list(range(event_ndims - of_event_ndims, 0)))


def per_event(log_det, value, event_ndims):
  """Broadcasts `log_det` to one number an event, `[...]`."""
  batch_shape = tf.shape(value)[:tf.rank(value) - event_ndims]
  log_det = tf.broadcast_to(log_det, batch_shape)
  if value.shape.rank is not None:
    log_det.set_shape(value.shape[:value.shape.rank - event_ndims])
  return log_det
