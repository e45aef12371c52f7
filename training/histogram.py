"""A baseline that knows how often each pixel has each bin, and no shape."""

import numpy as np

from tfp_glow import model as model_lib


def bits_per_dim(train_images, images, num_bits=8):
  """Bits/dim of `images` under independent histograms, one for each pixel.

  A flow's density over dequantised images in `[0, 2**num_bits)` compares with
  it directly: a histogram's bins are one wide, so that its probabilities are
  densities too.

  Args:
    train_images: uint8 or, of more than 8 bits, uint16 `[N, H, W, C]`, counted
      with one more in every bin.
    images: `[M, H, W, C]`, of the same dtype.
    num_bits: Python `int`, 1 to 16, how many of a pixel's bits are kept.
      Default value: `8`.

  Returns:
    bits_per_dim: `[M]`, the mean over the pixels of `-log2 p(pixel's bin)`.
  """
  pixels = model_lib.Pixels(images.shape[1:], num_bits)
  train, bins = (
      pixels.bins(part).numpy().reshape(len(part), -1)
      for part in (train_images, images))
  # One at a time: the bins of all pixels at once may not fit the memory.
  bits = np.zeros(len(images))
  for of_pixel, held_out in zip(train.T, bins.T):
    counts = 1 + np.bincount(of_pixel, minlength=pixels.num_bins)
    bits -= np.log2(counts[held_out] / counts.sum())
  return bits / pixels.num_dims
