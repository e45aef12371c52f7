"""A RealNVP on handwritten digits."""

from training import config


def get_config():
  recipe = config.get_config('real_nvp')
  recipe.data.update(name='digits', shift=(0, 1))
  recipe.model.update(scales=2, width=32, residual_blocks=2, num_bits=4)
  recipe.optimizer.update(
      learning_rate=2e-3, warmup_images=7500, schedule='cosine', clip=50.,
      scale_l2=5e-5)
  recipe.update(
      batch_size=100, steps=750, initial_images=512, eval_every=250,
      checkpoint_every=125)
  return recipe
