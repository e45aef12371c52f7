"""A RealNVP on MNIST at 28x28, for an hour or so without a GPU.

TFDS's `mnist`, or `--config.data.name=npz:mnist.npz`, as Keras keeps it.
"""

from training import config


def get_config():
  recipe = config.get_config('real_nvp')
  recipe.data.update(name='mnist')
  # With one block, twice as many steps fit into the hour.
  recipe.model.update(
      scales=2, width=32, residual_blocks=1, logit_margin=1e-6)
  # Kernels are normalised, and their norms grow: the paper's 1e-3 is too low
  # (docs/mnist.md).
  recipe.optimizer.update(
      learning_rate=1e-2, warmup_images=64_000, schedule='cosine', clip=100.,
      scale_l2=5e-5)
  recipe.update(
      batch_size=64, steps=10_000, initial_images=512, eval_every=2000,
      eval_images=1000, checkpoint_every=1000)
  return recipe
