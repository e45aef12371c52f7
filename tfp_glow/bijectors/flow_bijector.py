"""The base of every layer: value and log-determinant in one evaluation."""

import copy
import inspect
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import execution
from tfp_glow import tf_internals
from tfp_glow.bijectors import cache

tfb = tfp.bijectors

# Conditions that are data, and so have the flow's precision.
_MAPS = ('feature_map', 'context')


class FlowBijector(execution.Layer, tfb.Bijector):
  """A `tfb.Bijector` whose primitive is value **and** log-determinant.

  A subclass implements two methods, and every public method of `tfb.Bijector`
  follows from them with one evaluation of each network:

  ```none
  _forward_and_log_det(x, **conditions) -> y, log |det dy/dx|   (sampling)
  _inverse_and_log_det(y, **conditions) -> x, log |det dx/dy|   (density)
  ```

  That is all that a layer of one's own needs for graphs, XLA, export, mixed
  precision and `memory='recompute'`. A layer with expensive work on its weights
  implements `weights`, `prepare` and `apply` in their place: see
  `execution.Layer`.

  What TFP leaves open, and a flow for images needs, is added:

  - `initialize(y)`, data-dependent initialisation, explicit and repeatable;
  - `condition_names`, the keyword arguments a layer takes beside `training`;
    any other is an error and not silently dropped;
  - a cache that is never older than the variables (`cache.FreshCache`), and
    that two bijectors never share;
  - inputs are checked, and errors say what was given and what is needed.

  Non-finite values are looked for where that costs nothing to speak of: in
  eager mode, and everywhere with `validate_args=True`.
  """

  _cache = cache.FreshCache()

  def __init__(self, forward_min_event_ndims: int = 3,
               inverse_min_event_ndims: int = 3, dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str | None = None,
               is_constant_jacobian: bool = False):
    """Sets what every layer has.

    Args:
      forward_min_event_ndims: Python `int`, rank of a latent event.
        Default value: `3`, `[H, W, C]`.
      inverse_min_event_ndims: Python `int`, rank of a data event.
        Default value: `3`.
      dtype: `tf.float32` or `tf.float64`, of the flow and its variables.
        Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `None`, the class's name.
      is_constant_jacobian: Python `bool`, whether the map is affine, so that
        TFP's `TransformedDistribution` has a mean, a covariance and an entropy.
        Default value: `False`.

    Raises:
      ValueError: If `dtype` is neither of the two.
    """
    dtype = tf.as_dtype(dtype)
    if dtype not in (tf.float32, tf.float64):
      raise ValueError(
          f'`dtype` of a flow must be float32 or float64, got {dtype.name}; '
          'for less precision in the networks alone, give them a mixed '
          'precision policy.')
    super().__init__(
        forward_min_event_ndims=forward_min_event_ndims,
        inverse_min_event_ndims=inverse_min_event_ndims,
        is_constant_jacobian=is_constant_jacobian,
        dtype=dtype,
        validate_args=validate_args,
        # TFP lets bijectors of equal class and `parameters` share results;
        # without `parameters` it goes by identity.
        parameters=None,
        name=name)

  @classmethod
  def _parameter_properties(cls, dtype):
    return {}

  @property
  def condition_names(self) -> frozenset[str]:
    """Names of the keyword arguments that this bijector takes.

    `training` is a mode, not a condition: every layer takes it.
    """
    return frozenset()

  @property
  def initialized(self) -> bool:
    """Whether every data-dependent layer has left its initial values."""
    return all(module.is_initialized for module in (self, *self.submodules)
               if hasattr(module, 'is_initialized'))

  @property
  def event_ndims(self):
    return self.inverse_min_event_ndims

  @property
  def keeps_event_shape(self):
    changes_shape = (type(self)._inverse_event_shape is not
                     tfb.Bijector._inverse_event_shape)
    return not changes_shape and (
        self.forward_min_event_ndims == self.inverse_min_event_ndims)

  @property
  def may_close_over(self):
    return type(self).apply is FlowBijector.apply

  def inverse_and_log_det(
      self, y: tf.Tensor, name: str = 'inverse_and_log_det',
      **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Goes from data to latent.

    Args:
      y: `Tensor` `[..., *data event]`.
      name: Name of the ops.
      **conditions: `training`, and keyword arguments in `condition_names`.

    Returns:
      x: `Tensor` `[..., *latent event]`.
      log_det: `Tensor` `[...]`, `log |det dx/dy|`, in nats.
    """
    y = self._checked(y, 'y', self.inverse_min_event_ndims, conditions)
    with self._name_and_control_scope(name):
      x, log_det = evaluate(self, y, True, self._context(conditions))
      return x, execution.per_event(log_det, y, self.inverse_min_event_ndims)

  def forward_and_log_det(
      self, x: tf.Tensor, name: str = 'forward_and_log_det',
      **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Goes from latent to data.

    Args:
      x: `Tensor` `[..., *latent event]`.
      name: Name of the ops.
      **conditions: `training`, and keyword arguments in `condition_names`.

    Returns:
      y: `Tensor` `[..., *data event]`.
      log_det: `Tensor` `[...]`, `log |det dy/dx|`, in nats.
    """
    x = self._checked(x, 'x', self.forward_min_event_ndims, conditions)
    with self._name_and_control_scope(name):
      y, log_det = evaluate(self, x, False, self._context(conditions))
      return y, execution.per_event(log_det, x, self.forward_min_event_ndims)

  def evaluate(self, value: tf.Tensor, inverse: bool,
               context: execution.Context) -> tuple[tf.Tensor, tf.Tensor]:
    """Goes in either direction, under an explicit context.

    Args:
      value: `Tensor` `[..., *event]`.
      inverse: Whether to go from data to latent.
      context: `execution.Context`: mode, conditions, and who takes updates of
        running averages.

    Returns:
      result: `Tensor` `[..., *event]`.
      log_det: `Tensor` `[...]`, in nats.
    """
    argument, event_ndims = (
        ('y', self.inverse_min_event_ndims) if inverse else
        ('x', self.forward_min_event_ndims))
    value = self._checked(value, argument, event_ndims, context.conditions)
    result, log_det = evaluate(self, value, inverse, context)
    return result, execution.per_event(log_det, value, event_ndims)

  def initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
    """Runs data-dependent initialisation on one batch of data.

    It sets variables, so run it eagerly, or in a graph that runs it once. It
    can be repeated, and then starts anew from the batch it is given.

    Args:
      y: `Tensor` `[..., *data event]`, at least one event.
      **conditions: Keyword arguments named in `condition_names`.

    Returns:
      x: `Tensor` `[..., *latent event]`, the batch as the initialised
        bijector passes it on.

    Raises:
      ValueError: If the batch is empty.
    """
    y = self._checked(y, 'y', self.inverse_min_event_ndims, conditions)
    if y.shape.num_elements() == 0:
      raise ValueError(
          f'`y` is an empty batch, of shape {y.shape}: data-dependent '
          f'initialisation of {self.name} needs at least one event.')
    parameters = inspect.signature(self._initialize).parameters.values()
    if not any(p.name == 'training' or p.kind == p.VAR_KEYWORD
               for p in parameters):
      conditions.pop('training', None)
    return self._initialize(y, **conditions)

  def _initialize(self, y, **conditions):
    return evaluate(self, y, True, self._context(conditions))[0]

  def _inverse_and_log_det(self, y, **conditions):
    return evaluate(self, y, True, self._context(conditions))

  def _forward_and_log_det(self, x, **conditions):
    return evaluate(self, x, False, self._context(conditions))

  def apply(self, value, prepared, inverse, context):
    # A layer that has the pair of methods in place of this one.
    cls = type(self)
    if cls._inverse_and_log_det is FlowBijector._inverse_and_log_det or (
        cls._forward_and_log_det is FlowBijector._forward_and_log_det):
      raise NotImplementedError(
          f'{cls.__name__} must implement `_inverse_and_log_det` and '
          '`_forward_and_log_det`, or `apply`.')
    method = (self._inverse_and_log_det if inverse else
              self._forward_and_log_det)
    return method(value, **context.keywords(self.condition_names))

  def pass_feature_map(self, feature_map: tf.Tensor) -> tf.Tensor:
    """Returns a condition `[..., H, W, K]` as layers after this one see it."""
    return feature_map

  def copy(self, **overrides: Any):
    """Returns a bijector with the same variables and networks.

    Args:
      **overrides: `name` or `validate_args`, of the copy.

    Raises:
      TypeError: If anything else is to differ.
    """
    unknown = sorted(set(overrides) - {'name', 'validate_args'})
    if unknown:
      raise TypeError(
          f'`copy` of {self.name} got `{unknown[0]}`, but a copy has the same '
          'variables and networks: only `name` and `validate_args` can '
          'differ.')
    copied = copy.copy(self)
    for name, value in overrides.items():
      setattr(copied, f'_{name}', value)
    return copied

  def __getitem__(self, slices):
    # No parameter has batch dimensions, so that there is nothing to slice.
    del slices
    return self.copy()

  # TFP's own entry points, in terms of the two primitives. TFP asks for the
  # value and for the log-determinant in turn; the cache has both of one
  # evaluation, and where it has let go of it there is another evaluation.

  def _inverse(self, y, **conditions):
    x, log_det = evaluate(self, y, True, self._context(conditions))
    self._cache.inverse_attributes(y, **conditions)['ildj'] = (
        execution.per_event(log_det, y, self.inverse_min_event_ndims))
    return x

  def _forward(self, x, **conditions):
    y, log_det = evaluate(self, x, False, self._context(conditions))
    self._cache.forward_attributes(x, **conditions)['ildj'] = (
        -execution.per_event(log_det, x, self.forward_min_event_ndims))
    return y

  def _inverse_log_det_jacobian(self, y, **conditions):
    log_det = self._cache.inverse_attributes(y, **conditions).get('ildj')
    if log_det is None:
      _, log_det = evaluate(self, y, True, self._context(conditions))
    return execution.per_event(log_det, y, self.inverse_min_event_ndims)

  def _forward_log_det_jacobian(self, x, **conditions):
    log_det = self._cache.forward_attributes(x, **conditions).get('ildj')
    if log_det is None:
      _, log_det = evaluate(self, x, False, self._context(conditions))
      log_det = -log_det
    return execution.per_event(-log_det, x, self.forward_min_event_ndims)

  def _call_inverse(self, y, name, **kwargs):
    y = self._checked(y, 'y', self.inverse_min_event_ndims, kwargs)
    return super()._call_inverse(y, name, **kwargs)

  def _call_forward(self, x, name, **kwargs):
    x = self._checked(x, 'x', self.forward_min_event_ndims, kwargs)
    return super()._call_forward(x, name, **kwargs)

  def _call_inverse_log_det_jacobian(self, y, event_ndims, name, **kwargs):
    y = self._checked(y, 'y', self.inverse_min_event_ndims, kwargs)
    return super()._call_inverse_log_det_jacobian(
        y, event_ndims, name, **kwargs)

  def _call_forward_log_det_jacobian(self, x, event_ndims, name, **kwargs):
    x = self._checked(x, 'x', self.forward_min_event_ndims, kwargs)
    return super()._call_forward_log_det_jacobian(
        x, event_ndims, name, **kwargs)

  def _context(self, conditions):
    """Returns the `Context` of a public method's keyword arguments."""
    return execution.Context.of(**{
        name: tf.convert_to_tensor(value, dtype_hint=self.dtype)
        if name in _MAPS and value is not None else value
        for name, value in conditions.items()})

  def _checked(self, value, argument, event_ndims, conditions):
    """Returns `value` as a tensor of the right dtype and rank, or raises."""
    unknown = sorted(set(conditions) - self.condition_names - {'training'})
    if unknown:
      takes = ', '.join(f'`{n}`' for n in sorted(self.condition_names))
      raise TypeError(
          f'Unexpected keyword argument `{unknown[0]}`: no layer of '
          f'{self.name} accepts it. Accepted: {takes or "none"}.')
    if not tf.is_tensor(value):
      # Integers of NumPy are pixels that somebody forgot to preprocess; those
      # of Python are numbers.
      is_array = hasattr(value, 'dtype') and not isinstance(value, tf.Variable)
      value = tf.convert_to_tensor(
          value, dtype_hint=None if is_array and tf.as_dtype(
              value.dtype).is_integer else self.dtype)
    if value.dtype != self.dtype:
      raise TypeError(
          f'`{argument}` of {self.name} has dtype {value.dtype.name}, but '
          f'{self.dtype.name} is needed: cast it with tf.cast({argument}, '
          f'tf.{self.dtype.name}).')
    rank = value.shape.rank
    if rank is not None and rank < event_ndims:
      event = {1: '[D]', 3: '[H, W, C]'}.get(event_ndims, f'{event_ndims} axes')
      raise ValueError(
          f'`{argument}` of {self.name} has shape {value.shape}, but events '
          f'of rank {event_ndims}, {event}, after any batch dimensions are '
          'needed.')
    if self.validate_args or tf.executing_eagerly():
      tf.debugging.check_numerics(
          value, f'`{argument}` of {self.name} must be finite')
    return value


def evaluate(bijector, value, inverse, context, event_ndims=None):
  """Evaluates any `tfb.Bijector`: the one door into a member of a chain.

  Args:
    bijector: `tfb.Bijector`, ours or another.
    value: `Tensor` `[..., *event]`.
    inverse: Whether to go from data to latent.
    context: `Context`, of which a bijector that is not ours sees nothing.
    event_ndims: Rank of the event that the log-determinant is summed for, or
      `None`, the bijector's own.

  Returns:
    result: `Tensor` `[..., *event]`.
    log_det: `Tensor` `[...]` or `[]`, in nats.
  """
  minimum = (bijector.inverse_min_event_ndims if inverse else
             bijector.forward_min_event_ndims)
  event_ndims = minimum if event_ndims is None else event_ndims
  if isinstance(bijector, FlowBijector):
    event_shape = (execution.event_shape(value, minimum)
                   if bijector.weights else None)
    prepared = execution.prepare_one(bijector, inverse, event_shape, context)
    result, log_det = bijector.apply(value, prepared, inverse, context)
    return result, execution.sum_log_det(log_det, value, minimum, event_ndims)
  if inverse:
    result = bijector.inverse(value)
    log_det = bijector.inverse_log_det_jacobian(value, event_ndims)
  else:
    result = bijector.forward(value)
    log_det = bijector.forward_log_det_jacobian(value, event_ndims)
  if not tf.executing_eagerly():
    # So that TFP's cache lets go of the graph.
    tf_internals.clear_cache(bijector)
  return result, log_det
