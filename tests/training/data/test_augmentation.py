import ml_collections
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from training.data import augmentation

_KEY = np.uint64(5)


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (200, 10, 8, 3), np.uint8)


def _augment(images, flip=False, shift=None):
  uniform = augmentation.draw(_KEY, np.int64(0), len(images))
  fields = ml_collections.ConfigDict({'flip': flip, 'shift': shift})
  return uniform.numpy(), augmentation.augment(
      tf.constant(images), uniform, fields).numpy()


def test_what_an_example_draws_depends_on_its_position_alone():
  whole = augmentation.draw(_KEY, np.int64(0), 100).numpy()
  np.testing.assert_array_equal(
      augmentation.draw(_KEY, np.int64(37), 20), whole[37:57])
  assert np.any(augmentation.draw(np.uint64(6), np.int64(0), 100) != whole)
  other = augmentation.draw(_KEY, np.int64(0), 100, stream=1).numpy()
  assert not set(other.ravel()) & set(whole.ravel())


def test_what_is_drawn_is_uniform_and_independent():
  uniform = augmentation.draw(_KEY, np.int64(10 ** 12), 20_000).numpy()
  assert uniform.min() >= 0 and uniform.max() < 1
  np.testing.assert_allclose(uniform.mean(axis=0), .5, atol=.01)
  np.testing.assert_allclose(uniform.var(axis=0), 1 / 12, atol=.002)
  correlations = np.corrcoef(np.concatenate([uniform[1:], uniform[:-1]], 1).T)
  assert np.abs(correlations - np.eye(len(correlations))).max() < .04


def test_half_of_the_images_are_flipped(images):
  _, flipped = _augment(images, flip=True)
  was_flipped = np.all(flipped == images[:, :, ::-1], axis=(1, 2, 3))
  np.testing.assert_array_equal(flipped[~was_flipped], images[~was_flipped])
  assert 70 < was_flipped.sum() < 130


def test_shifts_by_a_part_are_those_of_keras(images):
  """Keras 2.2 resamples along both axes at once, and Glow rounds down."""
  uniform, shifted = _augment(images, shift=.1)
  for image, numbers, got in zip(images[:50], uniform, shifted):
    down, right = ((2 * numbers[3:5].astype(float) - 1) * .1 * [10, 8])
    expected = np.stack([
        scipy.ndimage.affine_transform(
            image[..., channel].astype(float), np.eye(2), (down, right),
            order=1, mode='nearest') for channel in range(3)], axis=-1)
    assert np.all(got <= expected + 1e-3)
    assert np.all(got > expected - 1 - 1e-3)


def test_shifts_by_whole_pixels_repeat_the_edge(images):
  _, shifted = _augment(images, shift=(2, 1))
  padded = np.pad(images, [(0, 0), (2, 2), (1, 1), (0, 0)], 'edge')
  windows = [padded[:, down:down + 10, right:right + 8]
             for down in range(5) for right in range(3)]
  is_window = np.all(np.equal(windows, shifted), axis=(2, 3, 4))
  assert np.all(is_window.sum(axis=0) == 1)
  assert np.all(is_window.sum(axis=1) > 0)


@pytest.mark.parametrize('shift', [None, 0, 0., (0, 0)])
def test_no_shift_is_none(images, shift):
  np.testing.assert_array_equal(_augment(images, shift=shift)[1], images)


@pytest.mark.parametrize('shift', [-1, 1.5, -.1, (1, .5), (1, 2, 3), 'small'])
def test_a_shift_is_pixels_or_a_part(shift):
  with pytest.raises(ValueError, match='`shift` is'):
    augmentation.check(
        ml_collections.ConfigDict({'shift': shift, 'mutate': 0.}))


@pytest.mark.parametrize('shift', [10, 8, (0, 8)])
def test_something_is_left_of_what_is_shifted(shift):
  with pytest.raises(ValueError, match='`shift` is .*10x8x3'):
    augmentation.check_fits(
        ml_collections.ConfigDict({'shift': shift}), (10, 8, 3))
  for fits in (None, 7, (9, 7), .9):
    augmentation.check_fits(
        ml_collections.ConfigDict({'shift': fits}), (10, 8, 3))


@pytest.mark.parametrize('shape', [(10, 8, 3), (5, 5, 1)])
def test_a_share_of_the_values_is_drawn_anew(shape):
  grey = np.full((400, *shape), 7, np.uint8)
  mutated = augmentation.mutate(tf.constant(grey), _KEY, np.int64(3), .2)
  anew = mutated.numpy()[mutated.numpy() != 7]
  assert anew.size / grey.size == pytest.approx(.2 * 255 / 256, abs=.015)
  assert anew.min() == 0 and anew.max() == 255
  assert anew.mean() == pytest.approx(127.5, abs=4.)
  assert mutated.dtype == tf.uint8
  # Values, images and channels independently of each other.
  changed = np.reshape(mutated.numpy() != 7, [400, -1])
  correlations = np.corrcoef(changed[:, :20].T) - np.eye(20)
  assert np.abs(correlations).max() < .2
  np.testing.assert_array_equal(
      augmentation.mutate(tf.constant(grey[:5]), _KEY, np.int64(40), .2),
      mutated[37:42])


@pytest.mark.parametrize('mutate', [-.1, 1.1, True])
def test_what_is_drawn_anew_is_a_share(mutate):
  with pytest.raises(ValueError, match='`mutate` is'):
    augmentation.check(
        ml_collections.ConfigDict({'shift': None, 'mutate': mutate}))
