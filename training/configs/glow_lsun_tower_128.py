"""Glow on LSUN tower, centre cropped, 128x128."""

from training import config


def get_config():
  return config.from_preset('glow_lsun_tower_128')
