"""Calls the network of a coupling, whatever it is, and shows its variables."""

import contextlib
import inspect
import threading

import keras
import tensorflow as tf

from tfp_glow import tf_internals
from tfp_glow.execution import context as context_lib
from tfp_glow.execution import stored
from tfp_glow.networks import prepared_network

# A layer's policy is one for all threads.
_POLICY_LOCK = threading.RLock()
_NOT_TRAINING = context_lib.Context()
# What a network takes beside the kept part, in this order, and of which rank.
_EVENT_NDIMS = {'feature_map': 3, 'context': 1}
CONDITION_NAMES = frozenset(_EVENT_NDIMS)


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
        if its signature names it. The weights of a
        `networks.PreparedNetwork` are prepared with those of its like.
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
    self._is_layer = isinstance(network, keras.layers.Layer)
    self._takes_training = _takes(network, 'training')
    self._keras_variables = []
    self._mixed_layers = None
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
  def is_prepared(self):
    """Whether the network takes prepared weights, and has its variables."""
    return prepared_network.is_prepared(self.network) and self.is_built

  @property
  def may_close_over(self):
    """Whether the network may read tensors that it was not given."""
    return not self.is_prepared

  @property
  def weights(self):
    """Tuple of what `prepare` reads: nothing of a network of another kind."""
    if not self.is_prepared:
      return ()
    return tuple(v.value for v in self.network.prepared_variables)

  @property
  def weight_names(self):
    """Names of `weights`: of the layer in the network, and of the weight."""
    return tuple('/'.join(v.path.split('/')[-2:])
                 for v in self.network.prepared_variables)

  @property
  def stack_key(self):
    """Equal for networks that differ in the values of weights, or `None`."""
    return self.network.stack_key if self.is_prepared else None

  def replace_weights(self, weights):
    """Has the network keep its weights elsewhere."""
    network = self.network
    for variable, weight in zip(network.prepared_variables, weights):
      tf_internals.adopt(variable, weight)
    # Checkpoints and SavedModels find the weights where they are kept.
    del self.network
    self.network = self._no_dependency(network)
    self._keras_variables = [v.value for v in self.network.variables]

  def prepare(self, weights, event_shape):
    """Returns the network's prepared weights, or `()`."""
    return self.network.prepare(weights, event_shape) if weights else ()

  def __call__(self, kept, event_ndims, conditions=(),
               context=_NOT_TRAINING, prepared=()):
    """Evaluates the network once.

    Args:
      kept: `Tensor` `[..., *event]`.
      event_ndims: Python `int`, rank of the event.
      conditions: Pairs of a `Tensor` `[..., *event']`, whose batch dimensions
        broadcast to those of `kept`, and its event's rank. Default value:
        `()`.
      context: `Context`. Default value: neither training nor conditions.
      prepared: Result of `prepare` for this network. Default value: `()`,
        it is asked for.

    Returns:
      parameters: `Tensor` `[..., *parameters]`, in `kept`'s dtype if that is
        a floating one.
    """
    inputs, batch_shape = _flatten_batch(kept, event_ndims, conditions)
    if self.is_prepared:
      if isinstance(prepared, tuple) and not prepared:
        prepared = self.network.prepare(
            [tf.convert_to_tensor(w) for w in self.weights],
            stored.event_shape(inputs[0], inputs[0].shape.rank - 1))
      outputs = self.network.apply(
          prepared, *inputs, context=context, dtype=(
              self.network.compute_dtype if context.training else
              self.network.variable_dtype))
    else:
      outputs = self._call(inputs, context)
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

  def _call(self, inputs, context):
    """Calls a network that is not prepared."""
    kwargs = {'training': context.training} if self._takes_training else {}
    if len(inputs) > 1 and isinstance(self.network, keras.Model) and (
        hasattr(self.network, 'inputs')):
      inputs = [inputs]
    with contextlib.ExitStack() as stack:
      if self._is_layer:
        stack.enter_context(self._precision(context.training))
      if self._is_layer and self.is_built and context.updates is not None:
        # What a Keras layer assigns, such as running averages, is an update
        # like any other, which a step that is not finite drops.
        scope = stack.enter_context(keras.StatelessScope())
        outputs = self.network(*inputs, **kwargs)
        for variable in self.network.non_trainable_variables:
          value = scope.get_current_value(variable)
          if value is not None:
            context.updates.add(variable, value)
        return outputs
      return self.network(*inputs, **kwargs)

  @contextlib.contextmanager
  def _precision(self, training):
    """Has a mixed-precision network compute in full precision, or not."""
    with _POLICY_LOCK:
      layers = self._mixed_layers
      if layers is None:
        layers = [layer for layer in tf_internals.flatten_layers(self.network)
                  if layer.compute_dtype != layer.variable_dtype]
        if self.is_built:
          self._mixed_layers = self._no_dependency(layers)
    if not layers:
      yield
      return
    with _POLICY_LOCK:
      policies = [layer.dtype_policy for layer in layers]
      try:
        for layer in [] if training else layers:
          layer.dtype_policy = layer.variable_dtype
        yield
      finally:
        for layer, policy in zip(layers, policies):
          layer.dtype_policy = policy

  def _show_variables(self):
    """Makes a Keras network's variables visible to `tf.Module`."""
    if self._is_layer and (
        len(self._keras_variables) != len(self.network.variables)):
      self._keras_variables = [v.value for v in self.network.variables]


def with_ranks(context, dtype, name):
  """The conditions that a network is called with, and the ranks of events.

  Args:
    context: `execution.Context`.
    dtype: `tf.DType` of the layer.
    name: Python `str`, the layer's name, for errors.

  Returns:
    conditions: List of pairs of a `Tensor` and a Python `int`, a feature map
      first.

  Raises:
    ValueError: If one has too low a rank.
  """
  given = []
  for condition, event_ndims in _EVENT_NDIMS.items():
    value = context.conditions.get(condition)
    if value is None:
      continue
    value = tf.convert_to_tensor(value, dtype_hint=dtype)
    if value.shape.rank < event_ndims:
      raise ValueError(
          f'`{condition}` of {name} has shape {value.shape}, but events of '
          f'rank {event_ndims} after any batch dimensions are needed.')
    given.append((value, event_ndims))
  return given


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
  if batch_ndims == 1 and not conditions:
    return [kept], None
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
