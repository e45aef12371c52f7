"""How unusual an image is to a model."""

import io
import sys

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg
from tfp_glow import scores


@pytest.fixture(scope='module')
def model():
  return test_model.make_model(num_bits=5)


@pytest.fixture(scope='module')
def images():
  return np.random.default_rng(1).integers(
      0, 256, (4, *test_model.SHAPE), dtype=np.uint8)


def test_bits_per_dim_is_the_models(model, images):
  np.testing.assert_array_equal(
      tg.score(model, images, 'bits_per_dim'), model.bits_per_dim(images))


def file_sizes(pixels, **arguments):
  sizes = []
  for image in pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **arguments)
    sizes.append(len(file.getvalue()))
  return np.array(sizes)


def test_complexity_takes_off_the_smaller_file_of_what_is_modelled():
  noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
  plain = np.full((1, 16, 16, 3), 77, np.uint8)
  photos = np.concatenate([noise, plain, noise // 64 * 64])
  flow = tg.Glow((16, 16, 3), levels=2, steps=1, width=4, seed=0)
  model = tg.FlowModel(flow, num_bits=6)
  bins = photos >> 2
  png = file_sizes(bins, format='PNG', optimize=True)
  webp = file_sizes(bins, format='WEBP', lossless=True)
  assert (png < webp).any() and (webp < png).any()
  expected = model.bits_per_dim(photos) - np.minimum(png, webp) * 8. / 768.
  np.testing.assert_allclose(
      tg.score(model, photos, 'complexity'), expected, rtol=1e-4)
  np.testing.assert_allclose(
      tg.score(model, photos | 3, 'complexity'), expected, rtol=1e-4)


@pytest.mark.parametrize('channels', [1, 2, 4])
def test_channels_that_are_no_colours_are_compressed_one_by_one(channels):
  images = np.random.default_rng(0).integers(
      0, 256, (2, 8, 6, channels), np.uint8)
  counts = scores.compressed_bits_per_dim(images) * 48 * channels / 8
  each = [file_sizes(images[..., c], format='WEBP', lossless=True)
          for c in range(channels)]
  np.testing.assert_allclose(counts, np.sum(each, axis=0))


def test_typicality_is_the_distance_from_the_training_images(model, images):
  bits = model.bits_per_dim(images).numpy()
  typicality = tg.Typicality.fit(bits[:2])
  mean = (bits[0] + bits[1]) / 2.
  assert typicality.mean == pytest.approx(mean)
  assert typicality.standard_deviation == pytest.approx(
      abs(bits[0] - bits[1]) / np.sqrt(2.))
  distances = tg.score(model, images, 'typicality', typicality).numpy()
  np.testing.assert_allclose(distances, np.abs(bits - mean), atol=1e-6)
  # One is above the mean, the other below.
  assert distances[0] == pytest.approx(distances[1], abs=1e-6)
  assert float(typicality.batch_distance(bits[:2])) == pytest.approx(
      0., abs=1e-6)
  assert float(typicality.batch_distance(bits)) == pytest.approx(
      abs(bits.mean() - mean), abs=1e-6)


def test_the_ratio_is_to_the_background_model(model, images):
  background = test_model.make_model(num_bits=5, steps=2)
  np.testing.assert_allclose(
      tg.score(model, images, 'ratio', background),
      model.bits_per_dim(images) - background.bits_per_dim(images), atol=1e-5)


def test_each_model_is_told_the_conditions_that_it_takes(model, images):
  told = test_model.make_model(num_bits=5, num_classes=3)
  for weight in told.trainable_weights:  # so that classes differ
    weight.assign_add(.1 * tf.random.stateless_normal(weight.shape, [0, 1]))
  label = np.array([0, 1, 2, 0])
  own = told.bits_per_dim(images, label)
  other = model.bits_per_dim(images)
  assert np.abs(own - told.bits_per_dim(images, 2 - label)).max() > 1e-3
  np.testing.assert_allclose(
      tg.score(told, images, 'ratio', model, label=label), own - other,
      atol=1e-5)
  with pytest.raises(TypeError, match='no condition of this model'):
    tg.score(model, images, 'ratio', told, label=label)


@pytest.mark.parametrize('method,reference,message', [
    ('typicality', None, 'is NoneType, but .*Typicality.fit'),
    ('typicality', 3.1, 'is float, but .*Typicality.fit'),
    ('ratio', None, 'is NoneType, but .*FlowModel'),
    ('ratio', tg.Typicality(3., 1.), 'is Typicality, but .*FlowModel'),
    ('bits_per_dim', tg.Typicality(3., 1.), 'needs no reference'),
    ('complexity', tg.Typicality(3., 1.), 'needs no reference'),
])
def test_a_reference_of_another_kind(
    model, images, method, reference, message):
  with pytest.raises(TypeError, match=message):
    tg.score(model, images, method, reference)


def test_what_is_refused(model, images, monkeypatch):
  with pytest.raises(ValueError, match="one of .*'ratio'.*, got 'nll'"):
    tg.score(model, images, 'nll')
  other = test_model.make_model(num_bits=8)
  with pytest.raises(ValueError, match='8 bits, but the model is .* 5 bits'):
    tg.score(model, images, 'ratio', other)
  with pytest.raises(TypeError, match='float32, but uint8'):
    tg.score(model, np.float32(images), 'complexity')
  with pytest.raises(ValueError, match='`images` has shape'):
    tg.score(model, images[..., :1], 'complexity')
  monkeypatch.setitem(sys.modules, 'PIL', None)
  with pytest.raises(ImportError, match='pip install pillow'):
    tg.score(model, images, 'complexity')


def test_images_can_be_a_list(model, images):
  np.testing.assert_array_equal(
      tg.score(model, list(images)), tg.score(model, images))


def test_whole_numbers_of_bits_are_numbers():
  typicality = tg.Typicality(3.5, 1.)
  np.testing.assert_array_equal(typicality.distance([3, 5]), [.5, 1.5])
  assert float(typicality.batch_distance([3, 4])) == 0.


@pytest.mark.parametrize('values', [(np.nan, 1.), (3., np.inf), (3., -1.)])
def test_a_typicality_is_finite(values):
  with pytest.raises(ValueError, match='`standard_deviation` must be finite'):
    tg.Typicality(*values)


@pytest.mark.parametrize('bits,message', [
    ([3.], r'shape \[1\], but \[N\] is needed, .* at least 2'),
    ([3., np.nan, np.inf], 'has 2 values that are not finite, of 3'),
    ([], r'shape \[0\]'),
    (3., r'shape \[\]'),
    ([[3., 4.]], r'shape \[1, 2\]'),
])
def test_typicality_of_what_is_none(bits, message):
  with pytest.raises(ValueError, match=message):
    tg.Typicality.fit(bits)
