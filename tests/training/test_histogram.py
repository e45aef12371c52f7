import numpy as np

from training import histogram


def _images(values):
  return np.array(values, np.uint8).reshape(len(values), 1, -1, 1)


def test_counts_have_one_added():
  train = _images([[0], [0], [255]])
  bits = histogram.bits_per_dim(train, _images([[0], [255]]), num_bits=1)
  np.testing.assert_allclose(bits, -np.log2([3 / 5, 2 / 5]))


def test_levels_never_seen_are_possible():
  bits = histogram.bits_per_dim(_images([[0]]), _images([[255]]), num_bits=8)
  np.testing.assert_allclose(bits, -np.log2(1 / 257))


def test_each_pixel_has_its_own_histogram():
  train = _images([[0, 255]] * 6)
  likely, unlikely = histogram.bits_per_dim(
      train, _images([[0, 255], [255, 0]]), num_bits=1)
  np.testing.assert_allclose(likely, -np.log2(7 / 8))
  np.testing.assert_allclose(unlikely, -np.log2(1 / 8))


def test_bits_left_out_make_no_difference():
  rng = np.random.default_rng(0)
  train, images = rng.integers(256, size=(2, 20, 4, 4, 3), dtype=np.uint8)
  np.testing.assert_array_equal(
      histogram.bits_per_dim(train, images, num_bits=4),
      histogram.bits_per_dim(train & 0xF0, images | 0x0F, num_bits=4))


def test_uniform_noise_needs_all_bits():
  rng = np.random.default_rng(0)
  train = rng.integers(256, size=(5000, 2, 2, 1), dtype=np.uint8)
  images = rng.integers(256, size=(500, 2, 2, 1), dtype=np.uint8)
  bits = histogram.bits_per_dim(train, images, num_bits=3)
  np.testing.assert_allclose(bits.mean(), 3, atol=0.01)


def test_sixteen_bits_are_counted():
  train = np.full([3, 1, 2, 1], 40_000, np.uint16)
  images = np.array([40_000, 7], np.uint16).reshape(2, 1, 1, 1).repeat(2, 2)
  np.testing.assert_allclose(
      histogram.bits_per_dim(train, images, num_bits=16),
      [-np.log2(4 / 65_539), -np.log2(1 / 65_539)])
