"""Recipes, data and pictures; run from the repository, not installed."""
