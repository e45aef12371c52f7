"""RealNVP on LSUN church_outdoor, 64x64."""

from training import config


def get_config():
  return config.from_preset('real_nvp_lsun_church_outdoor_64')
