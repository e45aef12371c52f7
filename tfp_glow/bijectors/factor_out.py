"""Factoring out: half of the channels is done, the rest goes on."""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import chain
from tfp_glow.bijectors import conditioner as conditioner_lib
from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import gaussian

tfb = tfp.bijectors


class FactorOut(flow_bijector.FlowBijector):
  """Ends a level: half of the channels leaves, and `rest` maps what stays.

  ```none
  stay, leave = first and second half of y's channels
  mean, log_scale = halves of conditioner(stay), or zeros
  inverse:  eps = (leave - mean) * exp(-log_scale)
            x = [flat(eps), rest^-1(stay)]
  forward:  stay = rest(x[size of eps:])
            y = [stay, mean + exp(log_scale) * eps]
  log |det dx/dy| = -sum log_scale + that of rest^-1(stay)
  ```

  So that `eps` is standard normal, `leave` has the Gaussian prior that a
  network makes of what stays, the split prior. In the papers' words `stay` is h
  and `leave` is z. `tfb.Blockwise` cannot have one part depend on
  the other.

  Conditions are passed on to `rest`, and the network gets them as a coupling's
  does: `feature_map=` `[..., H, W, K]`, of the size of what stays, and
  `context=` `[..., K]`.

  #### Examples

  >>> top = tfp.bijectors.Reshape(event_shape_out=(4, 4, 2))
  >>> flow = FactorOut(top)
  >>> flow.inverse(tf.zeros([7, 4, 4, 4])).shape
  TensorShape([7, 64])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 3.6. https://arxiv.org/abs/1605.08803
  """

  def __init__(self, rest: tfb.Bijector,
               conditioner: Callable[..., tf.Tensor] | None = None,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'factor_out', max_log_scale: float | None = None):
    """Puts a prior on one half, and a flow on the other.

    Args:
      rest: `tfb.Bijector` from flat latents `[D']` to what stays,
        `[H, W, C / 2]`.
      conditioner: Callable from what stays, `[N, H, W, C / 2]`, and the
        conditions, if any, to means and log-scales of what leaves,
        `[N, H, W, C]`, one half each: a Keras 3 layer or model, a `tf.Module`,
        or a function. Default value: `None`, a standard normal prior.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'factor_out'`.
      max_log_scale: Python `float`, a bound of `log_scale` from above: sampling
        then multiplies by `exp(max_log_scale)` at most, however far from the
        training data `stay` is. Default value: `None`, no bound.
    """
    super().__init__(
        forward_min_event_ndims=1, inverse_min_event_ndims=3,
        dtype=dtype, validate_args=validate_args, name=name)
    self._rest = (rest if isinstance(rest, flow_bijector.FlowBijector) else
                  chain.Chain([rest], dtype=dtype))
    self._conditioner = (
        None if conditioner is None else
        conditioner_lib.Conditioner(conditioner))
    self._max_log_scale = max_log_scale

  @property
  def rest(self):
    """The flow of what stays."""
    return self._rest

  @property
  def max_log_scale(self) -> float | None:
    """The bound of the prior's log-scales, or `None`."""
    return self._max_log_scale

  @property
  def conditioner(self):
    """The network of the prior, or `None`."""
    return self._conditioner and self._conditioner.network

  @property
  def condition_names(self):
    names = self._rest.condition_names
    if self._conditioner is None:
      return names
    return names | conditioner_lib.CONDITION_NAMES

  @property
  def weights(self):
    return self._conditioner.weights if self._conditioner else ()

  def prepare(self, weights, inverse, event_shape=None):
    if self._conditioner is None:
      return ()
    if event_shape is not None:
      # Of the image or of the flat latent: a network's map needs the image's.
      event_shape = ((*event_shape[:-1], event_shape[-1] // 2)
                     if inverse else None)
    return self._conditioner.prepare(weights, event_shape)

  @property
  def prepares_each_way(self):
    return False

  def apply(self, value, prepared, inverse, context):
    if inverse:
      stay, leave = self._split(value)
      eps, log_det = gaussian.standardise(
          leave, *self._prior(stay, prepared, context))
      rest, of_rest = flow_bijector.evaluate(self._rest, stay, True, context)
      return tf.concat([_flat(eps), rest], axis=-1), log_det + of_rest
    rest_size = self._rest_size(value.shape[-1])
    leave_size = value.shape[-1] - rest_size
    stay, of_rest = flow_bijector.evaluate(
        self._rest, value[..., leave_size:], False, context)
    eps = tf.reshape(value[..., :leave_size], tf.shape(stay))
    leave, log_det = gaussian.restore(
        eps, *self._prior(stay, prepared, context))
    return tf.concat([stay, leave], axis=-1), log_det + of_rest

  def _initialize(self, y, training=False, **conditions):
    stay, leave = self._split(y)
    rest = self._rest.initialize(stay, training=training, **{
        name: value for name, value in conditions.items()
        if name in self._rest.condition_names})
    context = self._context({'training': training, **conditions})
    if self._conditioner is not None:
      self._conditioner.initialize(stay, 3, conditioner_lib.with_ranks(
          context, self.dtype, self.name))
    eps, _ = gaussian.standardise(leave, *self._prior(stay, (), context))
    return tf.concat([_flat(eps), rest], axis=-1)

  def _split(self, y):
    if y.shape[-1] % 2:
      raise ValueError(
          f'`y` of {self.name} has {y.shape[-1]} channels (shape {y.shape}), '
          'but an even number is needed: half of them leaves.')
    return tf.split(y, 2, axis=-1)

  def _prior(self, stay, prepared, context):
    """Returns mean and log-scale of what leaves."""
    if self._conditioner is None:
      return tf.zeros_like(stay), tf.zeros_like(stay)
    parameters = self._conditioner(
        stay, 3, conditioner_lib.with_ranks(context, self.dtype, self.name),
        context, prepared)
    needed = stay.shape[-3:-1].concatenate(2 * stay.shape[-1])
    if not parameters.shape[-3:].is_compatible_with(needed):
      raise ValueError(
          f'`conditioner` of {self.name} gave parameters of shape '
          f'{parameters.shape[-3:]} for a part of shape {stay.shape[-3:]}, '
          f'but {needed} is needed: means first, then log-scales.')
    mean, log_scale = tf.split(parameters, 2, axis=-1)
    if self._max_log_scale is not None:
      log_scale = tf.minimum(
          log_scale, tf.constant(self._max_log_scale, log_scale.dtype))
    return mean, log_scale

  def _rest_size(self, size):
    """Components of the latent that belong to what stays."""
    # What leaves is as large as what stays; `rest` keeps the size.
    if size is None or size % 2:
      raise ValueError(
          f'`x` of {self.name} has {size} components, but a statically known '
          'and even number is needed.')
    return size // 2

  def _inverse_event_shape(self, shape):
    shape = tf.TensorShape(shape)
    if shape.rank is None:
      return shape
    return shape[:-3].concatenate(shape[-3:].num_elements())

  def _inverse_event_shape_tensor(self, shape):
    return tf.concat(
        [shape[:-3], [tf.reduce_prod(shape[-3:])]], axis=0)

  def _forward_event_shape(self, shape):
    shape = tf.TensorShape(shape)
    if shape.rank is None:
      return shape
    size = shape[-1]
    stay = self._rest.forward_event_shape(
        shape[:-1].concatenate(size and self._rest_size(size)))
    if stay.rank is None:
      return stay
    return stay[:-1].concatenate(stay[-1] and 2 * stay[-1])

  def _forward_event_shape_tensor(self, shape):
    stay = self._rest.forward_event_shape_tensor(
        tf.concat([shape[:-1], shape[-1:] // 2], axis=0))
    return tf.concat([stay[:-1], stay[-1:] * 2], axis=0)


def _flat(value):
  """`[..., H, W, C]` to `[..., H*W*C]`."""
  size = value.shape[-3:].num_elements()
  result = tf.reshape(value, tf.concat(
      [tf.shape(value)[:-3], [tf.reduce_prod(tf.shape(value)[-3:])]], axis=0))
  result.set_shape([*value.shape[:-3], size])
  return result
