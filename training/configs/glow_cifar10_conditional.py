"""Glow on CIFAR-10, told the class, 32x32."""

from training import config


def get_config():
  return config.from_preset('glow_cifar10_conditional')
