import numpy as np
import pytest
import tensorflow as tf

from training import data
from training.data import preparation


def _prepare(image, **fields):
  config = data.get_config()
  config.update(fields)
  preparation.check(config)
  return preparation.prepare(tf.constant(image), config).numpy()


@pytest.fixture
def image():
  return np.random.default_rng(0).integers(0, 256, (13, 10, 3), np.uint8)


def test_nothing_is_changed_unless_asked(image):
  np.testing.assert_array_equal(_prepare(image), image)


def test_resizing_to_the_same_size_changes_nothing(image):
  config = data.get_config()
  config.image_size = (13, 10)
  # Of a size known beforehand, nothing would be computed.
  prepare = tf.function(
      lambda image: preparation.prepare(image, config),
      input_signature=[tf.TensorSpec([None, None, None], tf.uint8)])
  np.testing.assert_array_equal(prepare(image), image)


@pytest.mark.parametrize('crop, rows, columns', [
    (6, slice(3, 9), slice(2, 8)),
    ((8, 4), slice(2, 10), slice(3, 7)),
    ((1, 2, 5, 7), slice(1, 6), slice(2, 9)),
])
def test_crops_before_resizing(image, crop, rows, columns):
  np.testing.assert_array_equal(
      _prepare(image, crop=crop), image[rows, columns])
  np.testing.assert_array_equal(
      _prepare(image, crop=crop, image_size=4),
      _prepare(image[rows, columns], image_size=4))


def test_resizing_keeps_the_aspect(image):
  np.testing.assert_array_equal(
      _prepare(image, image_size=5), _prepare(image[1:11], image_size=5))
  np.testing.assert_array_equal(
      _prepare(image, image_size=(3, 5)),
      _prepare(image[3:9], image_size=(3, 5)))


def test_resizing_by_half_averages(image):
  blocks = image[:12].reshape(6, 2, 5, 2, 3).astype(float)
  resized = _prepare(image[:12], image_size=(6, 5), antialias=False)
  np.testing.assert_allclose(resized, blocks.mean(axis=(1, 3)), atol=.51)


def test_antialiasing_sees_every_pixel():
  stripes = np.zeros((32, 32, 1), np.uint8)
  stripes[:, ::4] = 255
  plain = _prepare(stripes, image_size=8, antialias=False)
  smooth = _prepare(stripes, image_size=8)
  assert len(np.unique(plain)) == 1 and plain[0, 0, 0] == 0
  np.testing.assert_allclose(smooth[:, 1:-1], 255 / 4, atol=1)


def test_larger_than_it_was(image):
  large = _prepare(image[:1, :2], image_size=(2, 4))
  left, right = image[0, :2].astype(float)
  expected = [left, .75 * left + .25 * right, .25 * left + .75 * right, right]
  np.testing.assert_allclose(large, [expected] * 2, atol=.51)


def test_padding_is_black(image):
  padded = _prepare(image, pad=2)
  assert padded.shape == (17, 14, 3)
  np.testing.assert_array_equal(padded[2:-2, 2:-2], image)
  assert padded.sum() == image.sum()


def test_channels(image):
  grey = image[..., :1]
  np.testing.assert_array_equal(_prepare(grey, channels=1), grey)
  np.testing.assert_array_equal(_prepare(image, channels=3), image)
  np.testing.assert_array_equal(
      _prepare(grey, channels=3), np.repeat(grey, 3, axis=-1))
  luma = image @ [.299, .587, .114]
  np.testing.assert_allclose(
      _prepare(image, channels=1)[..., 0], luma, atol=1)
  np.testing.assert_array_equal(
      _prepare(np.repeat(grey, 3, axis=-1), channels=1), grey)


def test_before_a_random_crop_the_shorter_side_is_resized():
  image = np.zeros((30, 45, 3), np.uint8)
  fields = {'crop': 'random', 'image_size': 8}
  assert _prepare(image, **fields).shape == (30, 45, 3)
  assert _prepare(image, shorter_side=12, **fields).shape == (12, 18, 3)
  assert _prepare(image.swapaxes(0, 1), shorter_side=12,
                  **fields).shape == (18, 12, 3)


def test_random_windows_are_everywhere_and_evaluation_has_the_centre(
    config, save_images):
  rows, columns = np.mgrid[:12, :10]
  image = np.stack([rows, columns], axis=-1)[..., [0, 1, 1]].astype(np.uint8)
  config.update(name=save_images(train=[image] * 8, test=[image]),
                crop='random', image_size=(9, 6))
  images = data.open(config)
  assert images.image_shape == (9, 6, 3)
  corners = set()
  for batch in images.train_batches(8, seed=0).take(40).as_numpy_iterator():
    for window in batch:
      down, right, _ = window[0, 0]
      corners.add((int(down), int(right)))
      np.testing.assert_array_equal(
          window, image[down:down + 9, right:right + 6])
  assert corners == {(down, right) for down in range(4) for right in range(5)}
  centre, = next(images.eval_batches(1).as_numpy_iterator())
  np.testing.assert_array_equal(centre, image[2:11, 2:8])


@pytest.mark.parametrize('fields', [
    {'channels': 2}, {'crop': 'centre'}, {'crop': 0}, {'crop': (1, 2, 3)},
    {'crop': (0, 0, 0, 4)}, {'crop': 1.5}, {'image_size': 0},
    {'image_size': (8, 8, 3)}, {'image_size': '8'}, {'pad': -1},
    {'shorter_side': -1, 'crop': 'random', 'image_size': 8}])
def test_a_field_has_to_be_what_it_may_be(config, fields):
  config.update(fields)
  field, value = next(iter(fields.items()))
  with pytest.raises(ValueError, match=f'`{field}` is .*must be'):
    data.open(config)


@pytest.mark.parametrize('fields, message', [
    ({'crop': 'random'}, 'needs `image_size`'),
    ({'crop': 4, 'shorter_side': 8}, '`shorter_side` is 8.*`crop` is 4'),
    ({'crop': 'random', 'image_size': 4, 'pad': 1}, '`pad` is 1.*must be 0'),
    ({'crop': 9}, '`crop` is 9.*9x9.*has one of 8x8'),
    ({'crop': (2, 0, 7, 4)}, '`crop` is .*9x4.*has one of 8x8'),
    ({'crop': 'random', 'image_size': (9, 4)},
     '`image_size` is 9x4.*is 8x8: set `shorter_side`'),
])
def test_fields_have_to_fit_each_other_and_the_images(config, fields, message):
  config.update(fields)
  with pytest.raises(ValueError, match=message):
    data.open(config)
