"""RealNVP on LSUN bedroom, by the README, 64x64."""

from training import config


def get_config():
  return config.from_preset('real_nvp_lsun_bedroom_64_readme')
