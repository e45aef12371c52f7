"""Affine and additive coupling layers."""

from collections.abc import Callable
import math

import tensorflow as tf

from tfp_glow.bijectors import conditioner as conditioner_lib
from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import masks

# log scale(h) of each scale; `rescale` is the variable of 'tanh'.
LOG_SCALES = {
    'sigmoid': lambda h: tf.math.log_sigmoid(h + 2.),
    'bounded': lambda h: math.log(2.) * tf.tanh(h),
    'exp': lambda h: h,
    'tanh': lambda h, rescale: rescale * tf.tanh(h),
}
SCALES = tuple(LOG_SCALES)


class Coupling(flow_bijector.FlowBijector):
  """Base of the couplings.

  One part is left unchanged and parameterises the transformation of the other.

  A condition is passed by keyword: `feature_map=` `[..., H, W, K]`, of the
  image's height and width, or `context=` `[..., K]`; its batch dimensions
  broadcast to the image's, and the network gets it as a second argument.

  `tfb.RealNVP` splits vectors only, has no mask, and evaluates its network
  once for the value and once more for the log-determinant.
  """

  # Variables of the scale itself, and what tells one scale from another.
  _scale_weights = ()
  _scale_key = None

  def __init__(self, conditioner, mask, event_ndims, dtype, validate_args,
               name):
    super().__init__(
        forward_min_event_ndims=event_ndims,
        inverse_min_event_ndims=event_ndims,
        dtype=dtype, validate_args=validate_args, name=name)
    self._mask = masks.ChannelHalves() if mask is None else mask
    self._event_ndims = event_ndims
    self._conditioner = conditioner_lib.Conditioner(conditioner)

  @property
  def conditioner(self):
    """The network, as it was given."""
    return self._conditioner.network

  @property
  def mask(self):
    """The mask: which part is kept."""
    return self._mask

  @property
  def condition_names(self):
    return conditioner_lib.CONDITION_NAMES

  @property
  def is_built(self):
    return self._conditioner.is_built

  @property
  def may_close_over(self):
    return self._conditioner.may_close_over

  @property
  def weights(self):
    return (*self._conditioner.weights, *self._scale_weights)

  @property
  def weight_names(self):
    """Names of `weights`."""
    return (*self._conditioner.weight_names,
            *('rescale' for _ in self._scale_weights))

  @property
  def stack_key(self):
    key = self._conditioner.stack_key
    return key and (type(self), type(self.mask), self.mask.kept,
                    self._event_ndims, self._scale_key, key)

  def replace_weights(self, weights):
    count = len(self._conditioner.weights)
    self._conditioner.replace_weights(weights[:count])
    if weights[count:]:
      self.rescale, = weights[count:]

  def prepare(self, weights, inverse, event_shape=None):
    count = len(self._conditioner.weights)
    if event_shape is not None:
      event_shape = self.mask.kept_shape(event_shape)
    return (self._conditioner.prepare(weights[:count], event_shape),
            list(weights[count:]))

  def apply(self, value, prepared, inverse, context):
    for_network, for_scale = prepared
    kept, changed = self._mask.split(value)
    parameters = self._evaluate(kept, changed, for_network, context)
    change = self._to_latent if inverse else self._to_data
    changed, log_det = change(changed, parameters, *for_scale)
    return self._mask.merge(kept, changed), log_det

  def replay(self, tape, output, prepared, back, inverse, context, kept):
    """Evaluates the network once: it sees the same before and after."""
    for_network, for_scale = prepared
    there, back = self._to_latent, self._to_data
    if not inverse:
      there, back = back, there
    kept, changed = self._mask.split(output)
    tape.watch(kept)
    parameters = self._evaluate(kept, changed, for_network, context)
    with tape.stop_recording():
      changed = self._mask.only_changed(
          back(changed, parameters, *for_scale)[0])
      value = self._mask.merge(kept, changed)
    tape.watch(changed)
    again, log_det = there(changed, parameters, *for_scale)
    return value, [kept, changed], self._mask.merge(kept, again), log_det

  def join(self, gradients):
    kept, changed = gradients
    return self._mask.merge(
        self._mask.only_kept(kept), self._mask.only_changed(changed))

  def _initialize(self, y, training=False, **conditions):
    context = self._context({'training': training, **conditions})
    kept, _ = self._mask.split(y)
    self._conditioner.initialize(
        kept, self._event_ndims,
        conditioner_lib.with_ranks(context, self.dtype, self.name))
    return flow_bijector.evaluate(self, y, True, context)[0]

  def _evaluate(self, kept, changed, prepared, context):
    """Returns the parameters that the network makes of the kept part."""
    parameters = self._conditioner(
        kept, self._event_ndims,
        conditioner_lib.with_ranks(context, self.dtype, self.name),
        context, prepared)
    needed = changed.shape[-self._event_ndims:-1].concatenate(
        self._num_parameters * changed.shape[-1])
    given = parameters.shape[-self._event_ndims:]
    if not given.is_compatible_with(needed):
      raise ValueError(
          f'`conditioner` of {self.name} gave parameters of shape {given} for '
          f'a part to change of shape {changed.shape[-self._event_ndims:]}, '
          f'but {needed} is needed: {self._layout}.')
    return parameters


class AffineCoupling(Coupling):
  """Shifts and scales one part by what a network makes of the other.

  ```none
  shift, h  = halves of conditioner(y_kept)      along the last axis
  inverse:  x_changed = (y_changed + shift) * scale(h)
  forward:  y_changed = x_changed / scale(h) - shift
  log |det dx/dy| = sum log scale(h)             over what is changed
  ```

  and `scale(h)` is one of

  ```none
  'sigmoid':  sigmoid(h + 2)                     (Glow)
  'bounded':  2**tanh(h)                         between 1/2 and 2
  'exp':      exp(h)
  'tanh':     exp(rescale * tanh(h))             (RealNVP; `rescale` is learned)
  ```

  With `'bounded'` a coupling scales by at most 2 in either direction, so that
  no sample and no latent explodes in one, however far from the training data
  it is ([2]).

  #### Examples

  >>> network = keras.layers.Conv2D(4, 3, padding='same')
  >>> coupling = AffineCoupling(network)
  >>> y = tf.random.stateless_normal([5, 8, 8, 4], [0, 0])
  >>> x, log_det = coupling.inverse_and_log_det(y)
  >>> bool(tf.reduce_max(tf.abs(coupling.forward(tf.identity(x)) - y)) < 1e-5)
  True

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Equations 4 to 8. https://arxiv.org/abs/1605.08803
  [2]: Behrmann et al. Understanding and Mitigating Exploding Inverses in
       Invertible Neural Networks. 2021. https://arxiv.org/abs/2006.09347
  """

  _num_parameters = 2
  _layout = 'shifts first, then what scales are made of'

  def __init__(self, conditioner: Callable[..., tf.Tensor],
               mask: masks.Mask | None = None, scale: str = 'sigmoid',
               initial_rescale: float = 0., event_ndims: int = 3,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'affine_coupling'):
    """Makes a coupling of a network and a mask.

    Args:
      conditioner: Callable from the kept part, `[N, H, W, C_kept]`, to
        parameters, `[N, H, W, 2 * C_changed]`; called as
        `conditioner(kept, condition)` when there is a condition. A Keras 3
        layer or model, a `tf.Module`, or a function.
      mask: `ChannelHalves`, `Checkerboard` or `EvenOdd`: what is kept.
        Default value: `None`, `ChannelHalves('first')`.
      scale: Python `str`, `'sigmoid'`, `'bounded'`, `'exp'` or `'tanh'`.
        Default value: `'sigmoid'`.
      initial_rescale: Python `float`, where `rescale` of `'tanh'` starts.
        Default value: `0.`, no scaling.
      event_ndims: Python `int`, rank of an event: 3 for images, 1 for vectors.
        Default value: `3`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'affine_coupling'`.

    Raises:
      ValueError: If `scale` is none of the four.
      TypeError: If `conditioner` cannot be called.
    """
    if scale not in SCALES:
      raise ValueError(f'`scale` must be one of {SCALES}, got {scale!r}.')
    super().__init__(
        conditioner, mask, event_ndims, dtype, validate_args, name)
    self._scale = scale
    if scale == 'tanh':
      self.rescale = tf.Variable(initial_rescale, dtype=dtype, name='rescale')

  @property
  def scale(self):
    """Python `str`, the form of the scale."""
    return self._scale

  @property
  def _scale_key(self):
    return self.scale

  @property
  def _scale_weights(self):
    return (self.rescale,) if self.scale == 'tanh' else ()

  def _shift_and_log_scale(self, parameters, *scale_weights):
    shift, h = tf.split(parameters, 2, axis=-1)
    log_scale = LOG_SCALES[self.scale](h, *scale_weights)
    return self._mask.only_changed(shift), self._mask.only_changed(log_scale)

  def _sum(self, log_scale):
    return tf.reduce_sum(log_scale, axis=list(range(-self._event_ndims, 0)))

  def _to_latent(self, changed, parameters, *scale_weights):
    shift, log_scale = self._shift_and_log_scale(parameters, *scale_weights)
    return (changed + shift) * tf.exp(log_scale), self._sum(log_scale)

  def _to_data(self, changed, parameters, *scale_weights):
    shift, log_scale = self._shift_and_log_scale(parameters, *scale_weights)
    return changed * tf.exp(-log_scale) - shift, -self._sum(log_scale)


class AdditiveCoupling(Coupling):
  """Shifts one part by what a network makes of the other.

  ```none
  inverse:  x_changed = y_changed + conditioner(y_kept)
  forward:  y_changed = x_changed - conditioner(x_kept)
  log |det dx/dy| = 0
  ```

  #### Examples

  >>> coupling = AdditiveCoupling(lambda kept: 2. * kept)
  >>> coupling.inverse(tf.reshape([1., 10.], [1, 1, 2])).numpy().ravel()
  array([ 1., 12.], dtype=float32)

  #### References

  [1]: Dinh, Krueger and Bengio. NICE: Non-linear Independent Components
       Estimation. 2014. Section 3.2. https://arxiv.org/abs/1410.8516
  """

  _num_parameters = 1
  _layout = 'one shift for each value that is changed'

  def __init__(self, conditioner: Callable[..., tf.Tensor],
               mask: masks.Mask | None = None, event_ndims: int = 3,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'additive_coupling'):
    """Makes a coupling of a network and a mask.

    Args:
      conditioner: Callable from the kept part, `[N, H, W, C_kept]`, to
        shifts, `[N, H, W, C_changed]`; called as `conditioner(kept,
        condition)` when there is a condition. A Keras 3 layer or model, a
        `tf.Module`, or a function.
      mask: `ChannelHalves`, `Checkerboard` or `EvenOdd`: what is kept.
        Default value: `None`, `ChannelHalves('first')`.
      event_ndims: Python `int`, rank of an event: 3 for images, 1 for vectors.
        Default value: `3`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'additive_coupling'`.

    Raises:
      TypeError: If `conditioner` cannot be called.
    """
    super().__init__(
        conditioner, mask, event_ndims, dtype, validate_args, name)

  def _to_latent(self, changed, parameters):
    return (changed + self._mask.only_changed(parameters),
            tf.zeros([], self.dtype))

  def _to_data(self, changed, parameters):
    return (changed - self._mask.only_changed(parameters),
            tf.zeros([], self.dtype))
