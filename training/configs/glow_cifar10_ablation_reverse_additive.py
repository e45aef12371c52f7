"""Glow on CIFAR-10, reverse and additive, 32x32."""

from training import config


def get_config():
  return config.from_preset('glow_cifar10_ablation_reverse_additive')
