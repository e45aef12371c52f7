"""A small Glow on images of 32x32 in a folder.

It wants `--config.data.name=image_folder:PATH`.
"""

from training import config


def get_config():
  recipe = config.get_config('glow')
  recipe.data.update(name='image_folder:PATH', image_size=32, channels=3)
  recipe.model.update(levels=3, steps=8, width=64, scale='bounded')
  recipe.optimizer.update(
      learning_rate=2e-3, warmup_images=16_000, schedule='cosine', clip=50.)
  recipe.update(
      batch_size=32, steps=2000, initial_images=256, eval_every=250,
      eval_images=1000, checkpoint_every=250)
  return recipe
