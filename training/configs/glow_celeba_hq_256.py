"""Glow on CelebA-HQ 256x256."""

from training import config


def get_config():
  return config.from_preset('glow_celeba_hq_256')
