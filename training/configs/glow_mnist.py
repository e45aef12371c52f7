"""A Glow on MNIST at 28x28, for an hour or so without a GPU.

TFDS's `mnist`, or `--config.data.name=npz:mnist.npz`, as Keras keeps it.
"""

from training import config


def get_config():
  recipe = config.get_config('glow')
  recipe.data.update(name='mnist')
  # 28 is twice even: for a third level images would have to be padded.
  # Most pixels are black. The logit spreads their bin over the axis; centred,
  # the flow would have to learn a spike 1/256 wide.
  recipe.model.update(
      levels=2, steps=16, width=64, scale='bounded',
      preprocessing='logit', logit_margin=1e-6)
  recipe.optimizer.update(
      learning_rate=4e-3, warmup_images=64_000, schedule='cosine', clip=50.)
  recipe.update(
      batch_size=64, steps=20_000, initial_images=512, eval_every=2000,
      eval_images=1000, checkpoint_every=1000)
  return recipe
