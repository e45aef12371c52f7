"""Bits/dim of an image, split up among its pixels."""

from collections.abc import Callable
import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors
from tfp_glow import model as model_lib
from tfp_glow.bijectors import flow_bijector

tfb = tfp.bijectors
tfd = tfp.distributions

_CarryBack = Callable[[tf.Tensor], tf.Tensor]


def score_map(model: model_lib.FlowModel, images: np.ndarray,
              **conditions: Any) -> tf.Tensor:
  """Splits the bits/dim of images up among their pixels.

  ```none
  log p(v) = sum_d log p(z_d) + sum over layers of log |det|
  map[h, w] = -(what comes from pixel h, w) / (H W C log 2)
  sum over h and w of map = bits/dim
  ```

  Each latent's log-density, and each layer's log-determinant value by value,
  go back the way that the values came: through squeezes, permutations and
  factoring out to the place where they were, and evenly over the channels that
  a 1x1 convolution mixes. What belongs to no place, such as the determinant of
  that convolution, is spread evenly over what the layer maps; so it is with
  layers of one's own that keep the shape. Channels are summed.

  A pixel of a deep level stands for a block of the image, so that the map is
  as coarse as the flow's levels in part. It costs about three evaluations of
  `model.log_prob`.

  Args:
    model: Model whose flow has layers of this library and of TFP.
    images: uint8 `[N, H, W, C]`.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    map: `[N, H, W]`, in bits/dim, summing to `model.bits_per_dim(images)`.

  Raises:
    TypeError: If a layer changes the shape in a way that is not known here, or
      the images are not uint8.
    ValueError: If there is no image, or shapes are wrong.

  #### Examples

  >>> flow = tfp_glow.Glow((4, 4, 1), levels=2, steps=1, width=4, seed=0)
  >>> model = tfp_glow.FlowModel(flow)
  >>> images = np.full((2, 4, 4, 1), 100, np.uint8)
  >>> parts = tfp_glow.score_map(model, images)
  >>> parts.shape
  TensorShape([2, 4, 4])
  >>> bits = model.bits_per_dim(images)
  >>> bool(np.allclose(tf.reduce_sum(parts, [1, 2]), bits, rtol=1e-5))
  True

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Equations 2, 3 and 8. https://arxiv.org/abs/1605.08803
  """
  def map_of(images, conditions):
    latents, carry_back = _invert(
        model.distribution.bijector,
        model.pixels.dequantise(images, model.pixels.fixed_noise()),
        conditions)
    nats = carry_back(_log_density_of_each(model.base, latents))
    return model.pixels.bits_per_dim(tf.reduce_sum(nats, axis=-1))

  return model.in_batches(map_of, images, **conditions)


def _log_density_of_each(base, latents):
  """Log-density of each latent, `[N, D]`, spread evenly if it is none's own."""
  if isinstance(base, (tfd.Independent, tfd.Sample)):
    each = base.distribution.log_prob(latents)
    if each.shape == latents.shape:
      return each
  together = base.log_prob(latents)[:, None]
  return tf.broadcast_to(together / latents.shape[1], latents.shape)


@functools.singledispatch
def _invert(layer: tfb.Bijector, y: tf.Tensor,
            conditions: dict) -> tuple[tf.Tensor, _CarryBack]:
  """Goes from data to latent, and says how to carry a map back.

  Args:
    layer: Bijector.
    y: `[N, *data event]`.
    conditions: Conditions, of which the layer gets those that it takes.

  Returns:
    x: `[N, *latent event]`.
    carry_back: Function from a map, of the shape of `x`, to one of the shape
      of `y` that has the layer's log-determinant in it too.
  """
  x = layer.inverse(y, **_seen_by(layer, conditions))
  if x.shape != y.shape:
    raise TypeError(
        f'The layer {layer.name} takes events of shape {tuple(y.shape[1:])} '
        f'to {tuple(x.shape[1:])}, and {type(layer).__name__} does not say '
        'which value goes where, so that no map of pixels can be made.')
  event_ndims = layer.inverse_min_event_ndims
  log_det = layer.inverse_log_det_jacobian(
      y, event_ndims, **_seen_by(layer, conditions))
  size = math.prod(y.shape[y.shape.rank - event_ndims:])
  # Layers of TFP give one number for all where it is the same for all.
  log_det = tf.broadcast_to(log_det, y.shape[:y.shape.rank - event_ndims])
  each = tf.reshape(log_det / size, [*log_det.shape, *[1] * event_ndims])
  return x, lambda on_x: on_x + each


@_invert.register(bijectors.Chain)
@_invert.register(tfb.Chain)
def _invert_chain(layer, y, conditions):
  carriers = []
  for member in layer.bijectors:
    y, carry_back = _invert(member, y, conditions)
    carriers.append(carry_back)
    if 'feature_map' in conditions and isinstance(
        member, flow_bijector.FlowBijector):
      conditions = {**conditions, 'feature_map': member.pass_feature_map(
          conditions['feature_map'])}

  def carry_back(on_x):
    for carry in reversed(carriers):
      on_x = carry(on_x)
    return on_x

  return y, carry_back


@_invert.register(bijectors.ChannelPermutation)
@_invert.register(bijectors.Squeeze)
@_invert.register(tfb.Permute)
@_invert.register(tfb.Reshape)
@_invert.register(tfb.Transpose)
def _invert_rearrangement(layer, y, conditions):
  del conditions  # none is taken
  return layer.inverse(y), layer.forward


@_invert.register(bijectors.InvertibleConv)
@_invert.register(bijectors.InvertibleConvLU)
def _invert_mixing_of_channels(layer, y, conditions):
  x, add_log_det = _invert.dispatch(tfb.Bijector)(layer, y, conditions)

  def carry_back(on_x):
    mean = tf.reduce_mean(on_x, axis=-1, keepdims=True)
    return add_log_det(tf.broadcast_to(mean, on_x.shape))

  return x, carry_back


@_invert.register(bijectors.ActNorm)
@_invert.register(bijectors.BatchNorm)
@_invert.register(bijectors.Scale)
@_invert.register(bijectors.TopPrior)
def _invert_value_by_value(layer, y, conditions):
  x, log_scale = _with_log_scale(
      lambda y: layer.inverse(y, **_seen_by(layer, conditions)), y)
  return x, lambda on_x: on_x + log_scale


@_invert.register(bijectors.AdditiveCoupling)
def _invert_additive_coupling(layer, y, conditions):
  x = layer.inverse(y, **_seen_by(layer, conditions))
  return x, lambda on_x: on_x


@_invert.register(bijectors.AffineCoupling)
def _invert_affine_coupling(layer, y, conditions):
  mask = layer.mask
  kept, changed = mask.split(y)

  def to_latent(changed):
    x = layer.inverse(
        mask.merge(kept, changed), **_seen_by(layer, conditions))
    return mask.split(x)[1]

  changed, log_scale = _with_log_scale(
      to_latent, changed, mask.only_changed(tf.ones_like(changed)))
  log_scale = mask.merge(tf.zeros_like(kept), log_scale)
  return mask.merge(kept, changed), lambda on_x: on_x + log_scale


@_invert.register(bijectors.FactorOut)
def _invert_factor_out(layer, y, conditions):
  stay, leave = tf.split(y, 2, axis=-1)
  rest, carry_rest_back = _invert(layer.rest, stay, conditions)
  event, size = stay.shape[1:], math.prod(stay.shape[1:])
  # The layer alone, so that the rest is not evaluated once more.
  prior = bijectors.FactorOut(
      tfb.Reshape(event_shape_out=event, event_shape_in=[size]),
      layer.conditioner, dtype=layer.dtype,
      max_log_scale=layer.max_log_scale)

  def standardised(leave):
    x = prior.inverse(
        tf.concat([stay, leave], axis=-1), **_seen_by(prior, conditions))
    return tf.reshape(x[:, :size], leave.shape)

  leave, log_scale = _with_log_scale(standardised, leave)

  def carry_back(on_x):
    on_leave = tf.reshape(on_x[:, :size], leave.shape)
    return tf.concat(
        [carry_rest_back(on_x[:, size:]), on_leave + log_scale], axis=-1)

  return tf.concat(
      [tf.reshape(leave, [leave.shape[0], size]), rest], axis=-1), carry_back


def _with_log_scale(function, y, is_mapped=None):
  """`function(y)`, and the log of its slope, where each value has its own.

  Args:
    function: Function of which each value depends on the value of `y` at its
      place and on no other.
    y: `Tensor`.
    is_mapped: `Tensor` like `y`, 1 where the function maps a value, and 0
      where there is none. Default value: `None`, everywhere.

  Returns:
    x: `Tensor` like `y`.
    log_scale: `Tensor` like `y`, 0 where nothing is mapped.
  """
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tape.watch(y)
    x = function(y)
  scale = tf.abs(tape.gradient(x, y))
  if is_mapped is not None:
    scale = tf.where(is_mapped > 0., scale, tf.ones_like(scale))
  return x, tf.math.log(scale)


def _seen_by(layer, conditions):
  if not isinstance(layer, flow_bijector.FlowBijector):
    return {}
  return {name: value for name, value in conditions.items()
          if name in layer.condition_names}
