"""What each layer of a flow sees on the way of a value through it."""

import dataclasses
import re

import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

tfb = tfp.bijectors

# They move values about, or scale all alike, and amplify nothing.
_RIGID = (tfp_glow.Squeeze, tfp_glow.ChannelPermutation, tfb.Reshape,
          tfb.Shift, tfb.Scale)


@dataclasses.dataclass(frozen=True)
class Point:
  """A layer, and what is before and after it.

  Attributes:
    name: Python `str`, level and place in it.
    layer: `tfb.Bijector`.
    data: `Tensor` `[N, ...]`, nearer to the data.
    latent: `Tensor` `[N, ...]`, nearer to the latents.
    conditions: `dict` of what the layer is told, by name.
  """

  name: str
  layer: tfb.Bijector
  data: tf.Tensor
  latent: tf.Tensor
  conditions: dict


def points(bijector, values, inverse, conditions=None):
  """Goes through a flow layer by layer.

  A `FactorOut` is taken apart: its prior is a layer, and so are those of its
  rest.

  Args:
    bijector: `tfb.Bijector`.
    values: `Tensor` `[N, ...]`, data or latents.
    inverse: Python `bool`, from data to latents, or back.
    conditions: `dict` of conditions, by name. Default value: `None`.

  Returns:
    points: List of `Point`, from the data to the latents.
  """
  seen = []

  # A graph, so that what is not finite goes on and raises no error.
  @tf.function(autograph=False)
  def pairs(values, conditions):
    seen.clear()
    _walk(bijector, values, inverse, conditions, 'pixels', seen)
    return [(p.data, p.latent, p.conditions) for p in seen]

  found = [
      dataclasses.replace(point, data=data, latent=latent, conditions=told)
      for point, (data, latent, told) in zip(
          *reversed((pairs(values, conditions or {}), seen)))]
  return found if inverse else found[::-1]


def _walk(bijector, value, inverse, conditions, place, seen):
  """What comes out; each layer's `Point` is added to `seen`."""
  if isinstance(bijector, tfp_glow.Chain):
    members = list(enumerate(_members(bijector, conditions)))
    for number, (member, told) in members if inverse else reversed(members):
      inner = f'{place}, layer {number}'
      if isinstance(member, tfp_glow.Chain):
        inner = 'level 0'
      value = _walk(member, value, inverse, told, inner, seen)
    return value
  if isinstance(bijector, tfp_glow.FactorOut):
    return _walk_factor_out(bijector, value, inverse, conditions, place, seen)
  return _see(bijector, value, inverse, conditions, place, seen)


def _walk_factor_out(bijector, value, inverse, conditions, place, seen):
  """The same, of the prior of what leaves and of the layers of the rest."""
  above = re.match(r'level (\d+)', place)
  level = int(above[1]) + 1 if above else 1

  def rest(value):
    return _walk(bijector.rest, value, inverse, conditions, f'level {level}',
                 seen)

  def prior(value, shape):
    flat = tfb.Reshape(event_shape_out=shape,
                       event_shape_in=[shape.num_elements()])
    alone = tfp_glow.FactorOut(
        flat, bijector.conditioner, bijector.dtype,
        max_log_scale=bijector.max_log_scale)
    return _see(alone, value, inverse, {}, place, seen)

  if inverse:
    stay, _ = tf.split(value, 2, axis=-1)
    leave, _ = tf.split(prior(value, stay.shape[1:]), 2, axis=-1)
    return tf.concat([leave, rest(stay)], axis=-1)
  leave, latent = tf.split(value, 2, axis=-1)
  stay = rest(latent)
  flat = tf.reshape(stay, tf.shape(latent))
  return prior(tf.concat([leave, flat], axis=-1), stay.shape[1:])


def _see(layer, value, inverse, conditions, place, seen):
  names = getattr(layer, 'condition_names', frozenset())
  told = {k: v for k, v in conditions.items() if k in names}
  result = (layer.inverse if inverse else layer.forward)(
      tf.identity(value), **told)
  if not isinstance(layer, _RIGID):
    ends = (value, result) if inverse else (result, value)
    seen.append(Point(place, layer, *ends, told))
  return result


def _members(bijector, conditions):
  """Each member with the conditions as it sees them."""
  conditions = dict(conditions)
  for member in bijector.bijectors:
    yield member, dict(conditions)
    if isinstance(member, tfp_glow.Squeeze) and 'feature_map' in conditions:
      conditions['feature_map'] = member.inverse(
          tf.cast(conditions['feature_map'], member.dtype))
