"""The base of every layer: value and log-determinant in one evaluation."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import cache

tfb = tfp.bijectors


class FlowBijector(tfb.Bijector):
  """A `tfb.Bijector` whose primitive is value **and** log-determinant.

  A subclass implements two methods, and every public method of `tfb.Bijector`
  follows from them with one evaluation of each network:

  ```none
  _forward_and_log_det(x, **conditions) -> y, log |det dy/dx|   (sampling)
  _inverse_and_log_det(y, **conditions) -> x, log |det dx/dy|   (density)
  ```

  What TFP leaves open, and a flow for images needs, is added:

  - `initialize(y)`, data-dependent initialisation, explicit and repeatable;
  - `condition_names`, the keyword arguments a layer takes; any other is an
    error and not silently dropped;
  - a cache that is never older than the variables (`cache.FreshCache`), and
    that two bijectors never share;
  - inputs are checked, and errors say what was given and what is needed.

  Non-finite values are looked for where that costs nothing to speak of: in
  eager mode, and everywhere with `validate_args=True`.
  """

  _cache = cache.FreshCache()

  def __init__(self,
               forward_min_event_ndims=3,
               inverse_min_event_ndims=3,
               dtype=tf.float32,
               validate_args=False,
               name=None):
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
  def condition_names(self):
    """`frozenset` of the keyword arguments that this bijector takes."""
    return frozenset()

  @property
  def initialized(self):
    """Whether every data-dependent layer has left its initial values."""
    return all(module.is_initialized for module in (self, *self.submodules)
               if hasattr(module, 'is_initialized'))

  def inverse_and_log_det(self, y, name='inverse_and_log_det', **conditions):
    """Goes from data to latent.

    Args:
      y: `Tensor` `[..., *data event]`.
      name: Python `str`, name of the ops. Default value:
        `'inverse_and_log_det'`.
      **conditions: Keyword arguments named in `condition_names`.

    Returns:
      x: `Tensor` `[..., *latent event]`.
      log_det: `Tensor` `[...]`, `log |det dx/dy|`, in nats.
    """
    y = self._checked(y, 'y', self.inverse_min_event_ndims, conditions)
    with self._name_and_control_scope(name):
      x, log_det = self._inverse_and_log_det(y, **conditions)
      return x, _per_event(log_det, y, self.inverse_min_event_ndims)

  def forward_and_log_det(self, x, name='forward_and_log_det', **conditions):
    """Goes from latent to data.

    Args:
      x: `Tensor` `[..., *latent event]`.
      name: Python `str`, name of the ops. Default value:
        `'forward_and_log_det'`.
      **conditions: Keyword arguments named in `condition_names`.

    Returns:
      y: `Tensor` `[..., *data event]`.
      log_det: `Tensor` `[...]`, `log |det dy/dx|`, in nats.
    """
    x = self._checked(x, 'x', self.forward_min_event_ndims, conditions)
    with self._name_and_control_scope(name):
      y, log_det = self._forward_and_log_det(x, **conditions)
      return y, _per_event(log_det, x, self.forward_min_event_ndims)

  def initialize(self, y, **conditions):
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
    return self._initialize(y, **conditions)

  def _initialize(self, y, **conditions):
    return self._inverse_and_log_det(y, **conditions)[0]

  def _inverse_and_log_det(self, y, **conditions):
    raise NotImplementedError(
        f'{type(self).__name__} must implement `_inverse_and_log_det`.')

  def _forward_and_log_det(self, x, **conditions):
    raise NotImplementedError(
        f'{type(self).__name__} must implement `_forward_and_log_det`.')

  def _pass_feature_map(self, feature_map):
    """A condition `[..., H, W, K]` as layers nearer to the latent see it."""
    return feature_map

  # TFP's own entry points, in terms of the two primitives.

  def _inverse(self, y, **conditions):
    x, log_det = self._inverse_and_log_det(y, **conditions)
    # Puts the log-determinant where TFP looks for it.
    self._cache.inverse_attributes(y, **conditions)['ildj'] = _per_event(
        log_det, y, self.inverse_min_event_ndims)
    return x

  def _forward(self, x, **conditions):
    y, log_det = self._forward_and_log_det(x, **conditions)
    self._cache.forward_attributes(x, **conditions)['ildj'] = -_per_event(
        log_det, x, self.forward_min_event_ndims)
    return y

  def _inverse_log_det_jacobian(self, y, **conditions):
    self._cache.inverse(y, **conditions)
    return self._cache.inverse_attributes(y, **conditions)['ildj']

  def _forward_log_det_jacobian(self, x, **conditions):
    self._cache.forward(x, **conditions)
    return -self._cache.forward_attributes(x, **conditions)['ildj']

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

  def _checked(self, value, argument, event_ndims, conditions):
    """Returns `value` as a tensor of the right dtype and rank, or raises."""
    unknown = sorted(set(conditions) - self.condition_names)
    if unknown:
      takes = ', '.join(f'`{n}`' for n in sorted(self.condition_names))
      raise TypeError(
          f'{self.name} got the keyword argument `{unknown[0]}`, which '
          f'reaches no layer; it takes {takes or "none"}.')
    if not tf.is_tensor(value):
      value = tf.convert_to_tensor(value, dtype_hint=self.dtype)
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


def _per_event(log_det, value, event_ndims):
  """Broadcasts `log_det` to one number an event, `[...]`."""
  batch_shape = tf.shape(value)[:tf.rank(value) - event_ndims]
  log_det = tf.broadcast_to(log_det, batch_shape)
  if value.shape.rank is not None:
    log_det.set_shape(value.shape[:value.shape.rank - event_ndims])
  return log_det


def sum_log_det(log_det, value, min_event_ndims, event_ndims):
  """Sums a log-determinant over the axes of an event of higher rank."""
  if event_ndims == min_event_ndims:
    return log_det
  return tf.reduce_sum(
      _per_event(log_det, value, min_event_ndims),
      axis=list(range(min_event_ndims - event_ndims, 0)))
