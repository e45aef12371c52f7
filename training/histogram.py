"""A baseline that knows how often each pixel has each bin, and no shape."""

import numpy as np

from tfp_glow import model as model_lib


def bits_per_dim(train_images, images, num_bits=8):
  """Bits/dim of `images` under independent histograms, one for each pixel.

  A flow's density over dequantised images in `[0, 2**num_bits)` compares with
  it directly: a histogram's bins are one wide, so that its probabilities are
  densities too.

  Args:
    train_images: uint8 `[N, H, W, C]`, counted with one more in every bin.
    images: uint8 `[M, H, W, C]`.
    num_bits: Python `int`, 1 to 8, how many of a pixel's bits are kept.
      Default value: `8`.

  Returns:
    bits_per_dim: `[M]`, the mean over the pixels of `-log2 p(pixel's bin)`.
  """
  pixels = model_lib.Pixels(images.shape[1:], num_bits)
  train, bins = (
      pixels.bins(part).numpy().reshape(len(part), -1)
      for part in (train_images, images))
  rows = np.arange(pixels.num_dims)
  counts = np.ones([pixels.num_dims, pixels.num_bins])
  np.add.at(counts, (rows, train), 1)
  probabilities = counts / counts.sum(axis=1, keepdims=True)
  return -np.log2(probabilities[rows, bins]).mean(axis=1)
