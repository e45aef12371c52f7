"""Variables of a flow, as Keras sees them."""

import keras
import tensorflow_probability as tfp

from tfp_glow.bijectors import conditioner


def as_keras_variables(
    distribution: tfp.distributions.Distribution) -> list[keras.Variable]:
  """Every variable of a distribution as a `keras.Variable`, each once.

  Keras does not see `tf.Variable`s; a `keras.Variable` made of one adopts it.
  Where a Keras network owns it already, it is that network's.
  """
  owned = {}
  for module in distribution.submodules:
    if isinstance(module, conditioner.Conditioner) and isinstance(
        module.network, keras.layers.Layer):
      owned.update({id(v.value): v for v in module.network.variables})
  return [
      owned[id(v)] if id(v) in owned else keras.Variable(
          v, trainable=v.trainable, dtype=v.dtype.name,
          name=v.name.split(':')[0].replace('/', '_'))
      for v in distribution.variables]


def networks_are_built(distribution: tfp.distributions.Distribution) -> bool:
  """Whether every network of a distribution has its variables."""
  return all(module.is_built for module in distribution.submodules
             if isinstance(module, conditioner.Conditioner))
