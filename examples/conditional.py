"""A Glow that is told which digit to draw.

    python examples/conditional.py

writes digits.png, a row for each class.
"""

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from training import pictures
from training.data import digits


def main(epochs=30, levels=2, steps=6, width=32, path='digits.png'):
  """Trains, draws, and returns bits/dim with right labels and with wrong."""
  keras.utils.set_random_seed(0)
  (images, labels), (held_out, truth) = digits.load_data()
  flow = tfp_glow.Glow(
      images.shape[1:], levels=levels, steps=steps, width=width,
      scale='bounded', num_classes=10, seed=0)
  model = tfp_glow.FlowModel(flow, num_bits=4)
  model.adapt(images, label=labels)
  model.compile(keras.optimizers.Adam(2e-3, global_clipnorm=50.))
  model.fit(images, labels, batch_size=100, epochs=epochs, verbose=2)

  rows = model.sample(
      100, temperature=.8, seed=0, label=np.repeat(np.arange(10), 10))
  pictures.save_grid(path, rows.numpy().reshape(10, 10, *images.shape[1:]),
                     labels=[str(digit) for digit in range(10)], min_cell=48)
  right, wrong = (
      float(tf.reduce_mean(model.bits_per_dim(held_out, label=label)))
      for label in (truth, (truth + 1) % 10))
  print(f'{right:.3f} bits/dim with the right labels, {wrong:.3f} with others')
  return right, wrong


if __name__ == '__main__':
  main()
