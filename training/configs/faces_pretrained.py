"""The Glow of `tfp_glow.pretrained('faces')`: as `faces.py`, trained longer."""

from training.configs import faces


def get_config():
  recipe = faces.get_config()
  recipe.update(steps=2500, eval_every=1000, checkpoint_every=125)
  return recipe
