"""Glow on LSUN church_outdoor, centre cropped, 96x96."""

from training import config


def get_config():
  return config.from_preset('glow_lsun_church_outdoor_96')
