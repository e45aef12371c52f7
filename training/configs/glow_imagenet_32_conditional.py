"""Glow on ImageNet, centre cropped, told the class, 32x32."""

from training import config


def get_config():
  return config.from_preset('glow_imagenet_32_conditional')
