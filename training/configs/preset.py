"""A run of the papers, `preset.py:NAME`, as `tfp_glow.presets` has it.

NAME is one of `tfp_glow.presets.PRESETS`: `preset.py:glow_cifar10`, say.
"""

from training import config


def get_config(name):
  return config.from_preset(name)
