"""A Glow on cartoon faces of 32x32, in minutes and without a GPU."""

from training import config


def get_config():
  recipe = config.get_config('glow')
  recipe.data.update(name='faces/32x32')
  recipe.model.update(
      levels=3, steps=8, width=64, num_bits=5, scale='bounded')
  recipe.optimizer.update(
      learning_rate=2e-3, warmup_images=8000, schedule='cosine', clip=50.)
  recipe.update(
      batch_size=32, steps=1200, initial_images=256, eval_every=400,
      checkpoint_every=200)
  return recipe
