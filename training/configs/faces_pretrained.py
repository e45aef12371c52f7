"""The Glow of `tfp_glow.pretrained('faces')`: as `faces.py`, trained longer."""

from training.configs import faces


def get_config():
  recipe = faces.get_config()
  recipe.optimizer.warmup_images = 16_000
  recipe.update(steps=5000, eval_every=1000, checkpoint_every=100)
  return recipe
