"""A NICE on handwritten digits."""

from training import config


def get_config():
  recipe = config.get_config('nice')
  recipe.data.update(name='digits', shift=(0, 1))
  recipe.model.update(
      couplings=4, hidden_layers=1, width=64, num_bits=4,
      preprocessing='logit', logit_margin=1e-6)
  recipe.optimizer.update(
      learning_rate=1e-2, warmup_images=7500, schedule='cosine', clip=50.,
      average=.995)
  recipe.update(
      batch_size=100, steps=3000, initial_images=512, eval_every=500,
      checkpoint_every=250)
  return recipe
