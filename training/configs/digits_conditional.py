"""A Glow on handwritten digits that is told which digit."""

from training.configs import digits


def get_config():
  recipe = digits.get_config()
  recipe.model.class_conditional = True
  return recipe
