"""A Glow on handwritten digits, in minutes and without a GPU."""

from training import config


def get_config():
  recipe = config.get_config('glow')
  recipe.data.update(name='digits', shift=(0, 1))
  # Most pixels are black or white: see docs/stability.md.
  recipe.model.update(
      levels=2, steps=12, width=48, num_bits=4, scale='bounded',
      preprocessing='logit', logit_margin=1e-6)
  recipe.optimizer.update(
      learning_rate=3e-3, warmup_images=7500, schedule='cosine', clip=50.)
  recipe.update(
      batch_size=100, steps=750, initial_images=512, eval_every=250,
      checkpoint_every=125)
  return recipe
