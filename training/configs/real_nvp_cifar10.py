"""RealNVP on CIFAR-10, 32x32."""

from training import config


def get_config():
  return config.from_preset('real_nvp_cifar10')
