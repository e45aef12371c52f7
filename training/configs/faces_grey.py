"""A Glow that gives grey faces their colours; otherwise as `faces.py`."""

from training.configs import faces


def get_config():
  recipe = faces.get_config()
  recipe.data.condition = 'grey'
  return recipe
