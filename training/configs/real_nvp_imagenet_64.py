"""RealNVP on ImageNet 64x64."""

from training import config


def get_config():
  return config.from_preset('real_nvp_imagenet_64')
