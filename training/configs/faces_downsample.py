"""A Glow that makes faces of 32x32 of 8x8 pixels; otherwise as `faces.py`."""

from training.configs import faces


def get_config():
  recipe = faces.get_config()
  recipe.data.condition = 'downsample:4'
  return recipe
