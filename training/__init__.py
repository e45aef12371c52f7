"""Recipes, data and pictures; run from the repository, not installed."""

from training import startup

startup.import_tensorflow()
