"""Recipes: one file for one experiment."""
