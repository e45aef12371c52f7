"""Glow on LSUN bedroom, centre cropped, 96x96."""

from training import config


def get_config():
  return config.from_preset('glow_lsun_bedroom_96')
