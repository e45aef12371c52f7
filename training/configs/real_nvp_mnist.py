"""A RealNVP on MNIST at 28x28, for an hour or so without a GPU.

TFDS's `mnist`, or `--config.data.name=npz:mnist.npz`, as Keras keeps it.
"""

from training import config


def get_config():
  recipe = config.get_config('real_nvp')
  recipe.data.update(name='mnist')
  recipe.model.update(
      scales=2, width=32, residual_blocks=2, logit_margin=1e-6)
  recipe.optimizer.update(
      learning_rate=1e-3, warmup_images=64_000, schedule='cosine', clip=100.,
      scale_l2=5e-5)
  recipe.update(
      batch_size=64, steps=5000, initial_images=512, eval_every=1000,
      eval_images=1000, checkpoint_every=500)
  return recipe
