"""Glow on CIFAR-10, shuffle and affine, 32x32."""

from training import config


def get_config():
  return config.from_preset('glow_cifar10_ablation_shuffle_affine')
