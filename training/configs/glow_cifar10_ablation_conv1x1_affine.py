"""Glow on CIFAR-10, conv1x1 and affine, 32x32."""

from training import config


def get_config():
  return config.from_preset('glow_cifar10_ablation_conv1x1_affine')
