"""NICE's network: Dinh, Krueger and Bengio, 2014."""

from typing import Any

import keras
import numpy as np

from tfp_glow.networks import convolution


@keras.saving.register_keras_serializable('tfp_glow')
class DenseNetwork(keras.layers.Layer):
  """The network of NICE's couplings.

  ```none
  h = x, then `hidden_layers` times  h = relu(h @ kernel + bias)
  y = h @ kernel + bias
  ```

  The last kernel starts small, as all do in the authors' program, so that a
  coupling starts near the identity. Conditions, vectors `[N, K]`, are
  appended to the input.

  #### Examples

  >>> network = networks.DenseNetwork(3, width=8, hidden_layers=2, seed=0)
  >>> network(tf.ones([5, 4])).shape
  TensorShape([5, 3])

  #### References

  [1]: Dinh, Krueger and Bengio. NICE: Non-linear Independent Components
       Estimation. 2014. Section 5.1. https://arxiv.org/abs/1410.8516
  """

  def __init__(self, units: int, width: int = 1000, hidden_layers: int = 5,
               seed: int | None = None, **kwargs: Any):
    """Makes a network of a given shape.

    Args:
      units: Python `int`, number of outputs.
      width: Python `int`, units of each hidden layer. Default value: `1000`.
      hidden_layers: Python `int`, number of those. Default value: `5`.
      seed: Python `int` or `None`, of the kernels. Default value: `None`.
      **kwargs: Keyword arguments of `keras.layers.Layer`.
    """
    super().__init__(**kwargs)
    self.units = units
    self.width = width
    self.hidden_layers = hidden_layers
    self.seed = seed
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(
        hidden_layers + 1)]
    dtype = self.dtype_policy
    self.hidden = [
        keras.layers.Dense(
            width, 'relu', dtype=dtype, name=f'hidden_{k}',
            kernel_initializer=keras.initializers.HeUniform(seeds.pop()))
        for k in range(hidden_layers)]
    self.out = keras.layers.Dense(
        units, dtype=dtype, name='out',
        kernel_initializer=keras.initializers.RandomUniform(
            -.01, .01, seeds.pop()))

  def build(self, kept_shape, condition_shape=None, condition_2_shape=None):
    size = sum(shape[-1] for shape in (
        kept_shape, condition_shape, condition_2_shape) if shape)
    for layer in (*self.hidden, self.out):
      layer.build((None, size))
      size = self.width
    self.built = True

  def call(self, kept, condition=None, condition_2=None):
    h = convolution.append_channels(kept, condition, condition_2)
    for layer in self.hidden:
      h = layer(h)
    return self.out(h)

  def get_config(self):
    return {**super().get_config(), 'units': self.units, 'width': self.width,
            'hidden_layers': self.hidden_layers, 'seed': self.seed}
