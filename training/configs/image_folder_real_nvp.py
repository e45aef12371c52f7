"""A small RealNVP on images of 32x32 in a folder.

It wants `--config.data.name=image_folder:PATH`.
"""

from training import config


def get_config():
  recipe = config.get_config('real_nvp')
  recipe.data.update(name='image_folder:PATH', image_size=32, channels=3)
  recipe.model.update(scales=2, width=16, residual_blocks=2)
  recipe.optimizer.update(
      learning_rate=1e-2, warmup_images=16_000, schedule='cosine', clip=100.,
      scale_l2=5e-5)
  recipe.update(
      batch_size=32, steps=2000, initial_images=256, eval_every=250,
      eval_images=1000, checkpoint_every=250)
  return recipe
