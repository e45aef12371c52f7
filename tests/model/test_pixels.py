"""Pixels: bins, and the images that are drawn of what is not finite."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg

pixels_lib = tg.model.pixels


@pytest.mark.parametrize('num_bits', range(1, 9))
def test_every_pixel_comes_back_from_the_middle_of_its_bin(num_bits):
  pixels = pixels_lib.Pixels((16, 16, 1), num_bits)
  images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
  bins = pixels.bins(images).numpy()
  assert (pixels.num_bins, pixels.bin_width) == (
      2**num_bits, 256 // 2**num_bits)
  assert len(np.unique(bins)) == pixels.num_bins
  assert bins.min() == 0 and bins.max() == pixels.num_bins - 1
  np.testing.assert_array_equal(bins, images // pixels.bin_width)
  np.testing.assert_array_equal(pixels.middle(images), bins + .5)
  for noise in (0., .5, .999):
    np.testing.assert_array_equal(
        pixels.quantise(pixels.dequantise(images, noise)),
        images // pixels.bin_width * pixels.bin_width)


@pytest.mark.parametrize('preprocessing', pixels_lib.PREPROCESSING)
def test_pixel_bijectors_keep_every_value_finite(preprocessing):
  pixels = pixels_lib.Pixels((1, 2, 1), 8, preprocessing, tf.float64)
  value = tf.constant([[[[0.], [256.]]]], tf.float64)
  for bijector in pixels.bijectors():
    value = bijector.inverse(value)
  assert value.dtype == tf.float64
  assert np.isfinite(value).all() and np.abs(value).max() < 3.


@pytest.mark.parametrize('channels, colours', [
    (1, {(0,), (255,)}), (3, {(0, 0, 0), (255, 0, 255)})])
def test_what_is_not_finite_is_drawn_as_a_checker(channels, colours):
  pixels = pixels_lib.Pixels((4, 6, channels))
  values = np.full((4, 4, 6, channels), 7., np.float32)
  values[1, 2, 3, 0], values[3, 0, 0, 0] = np.nan, np.inf
  images = pixels.quantise(values).numpy()
  assert (images[::2] == 7).all()
  np.testing.assert_array_equal(
      pixels.are_finite(values), [True, False, True, False])
  for broken in images[1::2]:
    assert set(map(tuple, broken.reshape(-1, channels))) == colours
    assert (broken[:2, :2] != broken[:2, 2:4]).any()


@pytest.mark.parametrize('num_bits', [0, 17, 1.5, True, None])
def test_bits_that_no_pixel_has_are_refused(num_bits):
  with pytest.raises(ValueError, match=r'`num_bits` must be in 1 \.\. 16'):
    pixels_lib.Pixels((1, 2, 1), num_bits)
