"""Glow on LSUN tower, 64x64."""

from training import config


def get_config():
  return config.from_preset('glow_lsun_tower_64')
