"""Calls the network of a coupling, whatever it is, and shows its variables."""

import contextlib
import inspect

import keras
import tensorflow as tf


class Conditioner(tf.Module):
  """Adapts any callable to what a coupling needs of its network.

  A network sees one batch axis, whatever the flow's batch shape; computes in
  its own precision in training and in that of its weights otherwise (a network
  in bfloat16 does not invert to rounding); and is shown to TFP with its
  variables, each once, where it is a Keras 3 layer or model, which TFP does
  not look into.
  """

  def __init__(self, network, name=None):
    """Wraps `network`.

    Args:
      network: Any callable from the kept part, `[N, ...]`, to parameters:
        a Keras 3 layer or model, a `tf.Module`, or a function. With
        conditions it is called as `network(kept, *conditions)`, a functional
        Keras model as `network([kept, *conditions])`. It is given `training`
        if its signature names it, and `folded`, where it has a method of this
        name, and then reads no variable; see `networks.GlowNetwork`.
      name: Python `str`. Default value: `None`.

    Raises:
      TypeError: If `network` cannot be called.
    """
    super().__init__(name=name)
    if not callable(network):
      raise TypeError(
          '`conditioner` must be callable from the kept part to parameters, '
          f'got {network!r}.')
    self.network = network
    self._takes_training = _takes(network, 'training')
    self._takes_folded = (
        _takes(network, 'folded') and hasattr(network, 'folded'))
    self._keras_variables = []
    self._show_variables()

  @property
  def is_built(self):
    """Whether the network has its variables."""
    return getattr(self.network, 'built', True)

  @property
  def is_initialized(self):
    """Whether a data-dependent network has left its initial values."""
    return getattr(self.network, 'is_initialized', True)

  @property
  def folded_like(self):
    """Equal for networks whose weights `folded` folds together, or `None`."""
    if self._takes_folded and self.is_built:
      return self.network.folded_like
    return None

  def __call__(self, kept, event_ndims, conditions=(), training=False,
               folded=None):
    """Evaluates the network once.

    Args:
      kept: `Tensor` `[..., *event]`.
      event_ndims: Python `int`, rank of the event.
      conditions: Pairs of a `Tensor` `[..., *event']`, whose batch dimensions
        broadcast to those of `kept`, and its event's rank. Default value:
        `()`.
      training: Python `bool`. Default value: `False`.
      folded: What `folded` gave for this network. Default value: `None`.

    Returns:
      parameters: `Tensor` `[..., *parameters]`, in `kept`'s dtype if that is
        a floating one.
    """
    inputs, batch_shape = _flatten_batch(kept, event_ndims, conditions)
    kwargs = {'training': training} if self._takes_training else {}
    if folded is not None:
      kwargs['folded'] = folded
    with contextlib.ExitStack() as stack:
      if not training:
        stack.enter_context(full_precision(self.network))
      outputs = self._call(inputs, kwargs)
    self._show_variables()
    if kept.dtype.is_floating:
      outputs = tf.cast(outputs, kept.dtype)
    if batch_shape is None:
      return outputs
    event = outputs.shape[1:]
    outputs = tf.reshape(
        outputs, tf.concat([batch_shape, tf.shape(outputs)[1:]], axis=0))
    outputs.set_shape([*kept.shape[:kept.shape.rank - event_ndims], *event])
    return outputs

  def initialize(self, kept, event_ndims, conditions=()):
    """Runs the network's own data-dependent initialisation, if it has one."""
    if not hasattr(self.network, 'initialize'):
      return
    if not self.is_built:
      self(kept, event_ndims, conditions)
    inputs, _ = _flatten_batch(kept, event_ndims, conditions)
    self.network.initialize(*inputs)
    self._show_variables()

  def _call(self, inputs, kwargs):
    if len(inputs) > 1 and isinstance(self.network, keras.Model) and (
        hasattr(self.network, 'inputs')):
      return self.network(inputs, **kwargs)
    return self.network(*inputs, **kwargs)

  def _show_variables(self):
    """Makes a Keras network's variables visible to `tf.Module`."""
    if isinstance(self.network, keras.layers.Layer) and (
        len(self._keras_variables) != len(self.network.variables)):
      self._keras_variables = [v.value for v in self.network.variables]


def folded(conditioners, kept):
  """What each of alike conditioners takes as `folded`, computed together.

  Args:
    conditioners: List of `Conditioner`, with equal `folded_like`.
    kept: `Tensor` `[..., H, W, C]`, the kept part of one of them.

  Returns:
    folded: List of a structure of `Tensor` for each conditioner.
  """
  height, width = kept.shape[-3:-1]
  if height is None or width is None:
    height, width = tf.unstack(tf.shape(kept)[-3:-1])
  return conditioners[0].network.folded(
      [c.network for c in conditioners], height, width)


@contextlib.contextmanager
def full_precision(network):
  """Has a mixed-precision Keras network compute in its weights' precision."""
  layers = []
  if isinstance(network, keras.layers.Layer):
    layers = [layer for layer in network._flatten_layers()  # pylint: disable=protected-access
              if layer.compute_dtype != layer.variable_dtype]
  policies = [layer.dtype_policy for layer in layers]
  try:
    for layer in layers:
      layer.dtype_policy = layer.variable_dtype
    yield
  finally:
    for layer, policy in zip(layers, policies):
      layer.dtype_policy = policy


def _takes(network, name):
  is_layer = isinstance(network, keras.layers.Layer)
  function = network.call if is_layer else network
  try:
    return name in inspect.signature(function).parameters
  except ValueError:  # a builtin without a signature
    return False


def _flatten_batch(kept, event_ndims, conditions):
  """Gives the inputs one batch axis, and the batch shape to restore."""
  batch_ndims = kept.shape.rank - event_ndims
  batch_shape = tf.shape(kept)[:batch_ndims]
  inputs = [kept]
  for condition, ndims in conditions:
    event = tf.shape(condition)[tf.rank(condition) - ndims:]
    inputs.append(tf.broadcast_to(
        condition, tf.concat([batch_shape, event], axis=0)))
    inputs[-1].set_shape([*kept.shape[:batch_ndims],
                          *condition.shape[condition.shape.rank - ndims:]])
  if batch_ndims == 1:
    return inputs, None
  flat = []
  for value in inputs:
    event = value.shape[batch_ndims:]
    flat.append(tf.reshape(value, tf.concat(
        [[-1], tf.shape(value)[batch_ndims:]], axis=0)))
    flat[-1].set_shape([None, *event])
  return flat, batch_shape
