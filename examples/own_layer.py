"""A layer of one's own in a flow on images, trained without stored activations.

    python examples/own_layer.py

A layer needs two formulas. It then works in graphs, under XLA, and with
`memory='recompute'`, which reconstructs activations instead of keeping them.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from training.data import digits

tfb = tfp.bijectors


class Logit(tfp_glow.FlowBijector):
  """x = log(p / (1 - p)), p = 0.05 + 0.9 (y + 0.5): RealNVP's pixels."""

  def __init__(self, name='logit'):
    super().__init__(name=name)

  def _inverse_and_log_det(self, y):
    p = .05 + .9 * (y + .5)
    log_det = tf.math.log(.9) - tf.math.log(p) - tf.math.log1p(-p)
    return tf.math.log(p) - tf.math.log1p(-p), tf.reduce_sum(
        log_det, [-3, -2, -1])

  def _forward_and_log_det(self, x):
    y = (tf.sigmoid(x) - .05) / .9 - .5
    return y, -self._inverse_and_log_det(y)[1]


def network():
  return keras.Sequential([
      keras.layers.Conv2D(32, 3, padding='same', activation='relu'),
      keras.layers.Conv2D(4, 3, padding='same', kernel_initializer='zeros')])


def main(epochs=20):
  """Trains, and returns bits/dim of held-out digits before and after."""
  keras.utils.set_random_seed(0)
  (images, _), (held_out, _) = digits.load_data()
  layers = [Logit(), tfp_glow.Squeeze()]
  for kept in ('first', 'second', 'first', 'second'):
    layers += [tfp_glow.ActNorm(4), tfp_glow.InvertibleConv(4),
               tfp_glow.AffineCoupling(
                   network(), tfp_glow.ChannelHalves(kept), scale='bounded')]
  layers.append(tfb.Reshape([4, 4, 4], [64]))
  flow = tfp_glow.Chain(layers, memory='recompute')

  model = tfp_glow.FlowModel(flow, num_bits=4, image_shape=(8, 8, 1))
  model.adapt(images)
  model.compile(keras.optimizers.Adam(2e-3, global_clipnorm=50.))
  before = float(tf.reduce_mean(model.bits_per_dim(held_out)))
  model.fit(images, batch_size=100, epochs=epochs, verbose=2)
  after = float(tf.reduce_mean(model.bits_per_dim(held_out)))
  print(f'{before:.2f} bits/dim before training, {after:.2f} after')
  return before, after


if __name__ == '__main__':
  main()
