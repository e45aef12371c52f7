"""A Glow that fills in a hidden part of faces; otherwise as `faces.py`."""

from training.configs import faces


def get_config():
  recipe = faces.get_config()
  recipe.data.condition = 'mask:16'
  return recipe
