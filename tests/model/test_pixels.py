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


@pytest.mark.parametrize('margin', [1e-6, .05])
def test_the_logit_keeps_its_margin(margin):
  pixels = pixels_lib.Pixels(
      (1, 2, 1), 8, 'logit', tf.float64, logit_margin=margin)
  seen = tf.constant([[[[0.], [192.]]]], tf.float64)
  for bijector in pixels.bijectors():
    seen = bijector.inverse(seen)
  kept = margin + (1. - 2. * margin) * np.array([0., .75])
  np.testing.assert_allclose(
      tf.reshape(seen, [-1]), np.log(kept / (1. - kept)), rtol=1e-9)


def test_a_model_keeps_its_margin_and_every_image():
  flow = tg.Glow((4, 4, 2), levels=1, steps=1, width=4, seed=0)
  model = tg.FlowModel(flow, preprocessing='logit', logit_margin=1e-6)
  assert model.pixels.logit_margin == 1e-6
  again = tg.FlowModel.from_config(model.get_config())
  assert again.pixels.logit_margin == 1e-6
  images = np.random.default_rng(0).integers(
      0, 256, (20, 4, 4, 2), dtype=np.uint8)
  images[:5], images[5:10] = 0, 255
  np.testing.assert_array_equal(model.decode(model.encode(images)), images)


@pytest.mark.parametrize('margin', [0., .5, -1., float('nan'), None, 'a'])
def test_a_margin_out_of_range_is_refused(margin):
  with pytest.raises(ValueError, match='`logit_margin` must be between 0 and'):
    pixels_lib.Pixels((1, 2, 1), logit_margin=margin)


def test_a_margin_without_a_logit_is_refused():
  with pytest.raises(ValueError, match="1e-06, .* 'centered': only 'logit'"):
    pixels_lib.Pixels((1, 2, 1), logit_margin=1e-6)
