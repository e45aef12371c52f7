"""RealNVP on LSUN church_outdoor, by the README, 64x64."""

from training import config


def get_config():
  return config.from_preset('real_nvp_lsun_church_outdoor_64_readme')
