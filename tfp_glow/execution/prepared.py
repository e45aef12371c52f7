"""Prepares the weights of alike layers together."""

import tensorflow as tf

from tfp_glow.execution import stacking


def prepare(steps, inverse, event_shape, context):
  """Computes what each layer's `apply` needs of its weights.

  Args:
    steps: List of layers.
    inverse: Whether the direction is from data to latent.
    event_shape: Shape of an event, ints or scalar tensors.
    context: `Context`.

  Returns:
    prepared: `dict` from layers to structures of `Tensor`.
  """
  prepared = {}
  for alike in _alike(steps):
    if alike[0].stack_key is None:
      prepared[alike[0]] = prepare_one(
          alike[0], inverse, event_shape, context)
      continue
    stacked = _prepare(alike, lambda alike=alike: stacked_weights(alike),
                       inverse, event_shape, context)
    rows = zip(*(tf.unstack(leaf, num=len(alike))
                 for leaf in tf.nest.flatten(stacked)))
    for step, row in zip(alike, rows):
      prepared[step] = tf.nest.pack_sequence_as(stacked, row)
  return prepared


def prepare_one(layer, inverse, event_shape, context):
  """Computes what one layer's `apply` needs; see `prepare`."""
  return _prepare(
      [layer], lambda: [tf.convert_to_tensor(w) for w in layer.weights],
      inverse, event_shape, context)


def _prepare(alike, weights, inverse, event_shape, context):
  """Prepares weights, or takes what was prepared of them before."""
  first = alike[0]
  if context.prepared is not None and not first.prepares_for_event:
    event_shape = None
  key = (*map(id, alike), inverse if first.prepares_each_way else None,
         event_shape if context.prepared is not None else None)
  return context.prepare(
      key, lambda: first.prepare(weights(), inverse, event_shape))


def prepare_to_reconstruct(steps, prepared, inverse, event_shape, context):
  """Computes the same for the opposite direction, where it is another.

  Args:
    steps: List of layers.
    prepared: Result of `prepare` for `inverse`.
    inverse: The direction that is gone back.
    event_shape: Shape of an event.
    context: `Context`.
  """
  return {**prepared, **prepare(
      [step for step in steps if step.prepares_each_way], not inverse,
      event_shape, context)}


def stacked_weights(alike):
  """Returns the values of the weights of alike layers, each `[K, *shape]`."""
  return [stacking.stacked_value(weights)
          for weights in zip(*(step.weights for step in alike))]


def _alike(steps):
  """Returns lists of layers with equal keys."""
  alike = {}
  for step in steps:
    key = (id(step) if step.stack_key is None else step.stack_key)
    alike.setdefault(key, []).append(step)
  return alike.values()
