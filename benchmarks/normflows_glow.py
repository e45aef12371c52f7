"""The train step of normflows' Glow, in a Python that has PyTorch."""

import numpy as np


def train_step(steps, width, batch_size):
  """Loss and all gradients of a Glow of 3 levels on images of 32x32x3.

  Args:
    steps: Python `int`, steps of each level.
    width: Python `int`, channels inside the networks.
    batch_size: Python `int`.

  Returns:
    step: Function without arguments that returns when the step is done.
  """
  import normflows
  import torch

  torch.manual_seed(0)
  flows, merges, bases, channels, side = [], [], [], 12, 16
  for level in range(3):
    blocks = [normflows.flows.GlowBlock(channels, width, scale=True)
              for _ in range(steps)]
    flows.insert(0, [*blocks, normflows.flows.Squeeze()])
    is_last = level == 2
    bases.insert(0, normflows.distributions.DiagGaussian(
        (channels if is_last else channels // 2, side, side)))
    if not is_last:
      merges.insert(0, normflows.flows.Merge())
      channels, side = 2 * channels, side // 2
  model = normflows.MultiscaleFlow(bases, flows, merges)
  noise = np.random.default_rng(0).random((batch_size, 3, 32, 32))
  images = torch.tensor(noise - .5, dtype=torch.float32)
  with torch.no_grad():
    model.forward_kld(images)  # initialises

  def step():
    model.zero_grad(set_to_none=True)
    model.forward_kld(images).backward()

  return step
