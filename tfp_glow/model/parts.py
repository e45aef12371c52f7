"""Parts of a flow, as Keras shows, names and freezes layers."""

import collections
import re
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import conditioner

tfb = tfp.bijectors


class FlowPart(keras.layers.Layer):
  """All layers of one kind at one level of a flow, and their variables.

  Keras does not see `tf.Variable`s; a `keras.Variable` made of one adopts it.
  Where a Keras network owns it already, it is that network's.
  """

  def __init__(self, name: str, variables: list[Any],
               output_shape: tuple[int | None, ...], **kwargs: Any):
    """Adopts variables.

    Args:
      name: `'level_0_act_norm_x32'`, say: the level, the kind, and how many.
      variables: Each a `keras.Variable` of a network's, or a `tf.Variable`.
      output_shape: `(None, ...)`, of what the last of the layers passes on
        towards the latents.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(name=name, **kwargs)
    names = collections.Counter()
    self.adopted = []
    with keras.name_scope(name):
      for variable in variables:
        if not isinstance(variable, keras.Variable):
          own = variable.name.split(':')[0].replace('/', '_')
          number = names[own]
          names[own] += 1
          variable = keras.Variable(
              variable, trainable=variable.trainable,
              dtype=variable.dtype.name,
              name=f'{own}_{number}' if number else own)
        self.adopted.append(variable)
    self.build(output_shape)

  def build(self, input_shape):
    self.built = True

  def compute_output_shape(self, input_shape):
    return input_shape


def parts_of(flow: tfb.Bijector, image_shape: tuple[int, ...],
             distribution: tfp.distributions.TransformedDistribution,
            ) -> list[FlowPart]:
  """Every variable of a model's distribution, each once, in named parts.

  Args:
    flow: The flow, which `distribution` holds.
    image_shape: `(H, W, C)`, or `(D,)` of a flow on vectors.
    distribution: Distribution over images.

  Returns:
    parts: One for each level and kind of layer, the data's end first; then
      what lies in no layer, and the base distribution, if it has variables.
  """
  owned, taken = _owned_by_networks(distribution), set()

  def own(variables):
    new = {id(v): owned.get(id(v), v) for v in variables if id(v) not in taken}
    taken.update(new)
    return list(new.values())

  parts = []
  for (level, kind), members in _members(flow, image_shape).items():
    name = f'level_{level}_{kind}'
    if len(members) > 1:
      name += f'_x{len(members)}'
    variables = [v for member, _ in members for v in member]
    parts.append(FlowPart(name, own(variables), (None, *members[-1][1])))
  for name, module in (('base', distribution.distribution),
                       ('other', distribution)):
    variables = own(module.variables)
    if variables:
      parts.append(FlowPart(name, variables, (None,)))
  return parts


def networks_of(
    distribution: tfp.distributions.Distribution) -> list[Any]:
  """Adapters of every network of a distribution."""
  return [module for module in distribution.submodules
          if isinstance(module, conditioner.Conditioner)]


def network_policy(distribution: tfp.distributions.Distribution) -> str:
  """Names of the dtype policies of its Keras networks, in alphabetic order."""
  return ' '.join(sorted({
      module.network.dtype_policy.name for module in networks_of(distribution)
      if isinstance(module.network, keras.layers.Layer)}))


def _owned_by_networks(distribution):
  return {
      id(variable.value): variable for module in networks_of(distribution)
      if isinstance(module.network, keras.layers.Layer)
      for variable in module.network.variables}


def _members(flow, image_shape):
  """Variables and output shape of each layer, by level and kind."""
  members = collections.defaultdict(list)

  def walk(bijector, level, shape):
    if hasattr(bijector, 'bijectors'):
      for member in bijector.bijectors:
        shape = walk(member, level, shape)
      return shape
    rest = getattr(bijector, 'rest', None)
    of_rest = set() if rest is None else {id(v) for v in rest.variables}
    passed_on = bijector.inverse_event_shape(tf.TensorShape(shape))
    members[level, _snake(type(bijector).__name__)].append((
        [v for v in bijector.variables if id(v) not in of_rest],
        tuple(passed_on)))
    if rest is not None:  # half of the channels stays
      walk(rest, level + 1, (*shape[:-1], shape[-1] // 2))
    return tuple(passed_on)

  walk(flow, 0, tuple(image_shape))
  return members


def _snake(name):
  name = name.removeprefix('_')
  return re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', name).lower()
