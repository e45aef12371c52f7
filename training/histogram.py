"""A baseline that knows each pixel's grey levels, and nothing of shape."""

import numpy as np


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
  num_bins = 2 ** num_bits
  train = _bins(train_images, num_bits)
  pixels = np.arange(train.shape[1])
  counts = np.ones([len(pixels), num_bins])
  np.add.at(counts, (pixels, train), 1)
  probabilities = counts / counts.sum(axis=1, keepdims=True)
  bins = _bins(images, num_bits)
  return -np.log2(probabilities[pixels, bins]).mean(axis=1)


def _bins(images, num_bits):
  return (images >> (8 - num_bits)).reshape(len(images), -1)
