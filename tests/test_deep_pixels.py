"""Images of more than 8 bits: uint16."""

import io
import math

import keras
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

import tfp_glow as tg
from tfp_glow import scores

SHAPE = (8, 8, 1)


def images_of(num_bits, count=40):
  """uint16 images, of which `num_bits` leading bits are used."""
  values = np.random.default_rng(0).integers(
      0, 2**num_bits, (count, *SHAPE)).astype(np.uint16)
  values[0], values[1] = 0, 2**num_bits - 1
  return values << (16 - num_bits)


def model_of(num_bits, images, preprocessing='centered', **kwargs):
  flow = tg.Glow(SHAPE, levels=2, steps=1, width=4, seed=0, **kwargs)
  model = tg.FlowModel(flow, num_bits=num_bits, preprocessing=preprocessing)
  model.adapt(images)
  return model


@pytest.mark.parametrize('num_bits,preprocessing,dtype', [
    (9, 'centered', tf.float32), (12, 'centered', tf.float32),
    (12, 'logit', tf.float64), (16, 'centered', tf.float64)])
def test_images_come_back(num_bits, preprocessing, dtype):
  images = images_of(num_bits)
  model = model_of(num_bits, images, preprocessing, dtype=dtype)
  assert model.pixels.image_dtype == tf.uint16
  back = model.decode(model.encode(images))
  assert back.dtype == tf.uint16
  np.testing.assert_array_equal(back, images)
  # What is below the leading bits is not seen.
  below = np.uint16(2**(16 - num_bits) - 1)
  np.testing.assert_array_equal(
      model.encode(images | below), model.encode(images))
  assert model.sample(3, seed=0).dtype == tf.uint16


def test_bits_per_dim_are_those_of_the_density():
  images = images_of(12)
  model = model_of(12, images)
  noise = np.random.default_rng(0).random(SHAPE)
  seen = tf.constant(((images >> 4) + noise) / 4096. - .5, tf.float32)
  latents, log_det = model.flow.inverse_and_log_det(seen)
  nats = (log_det - tf.reduce_sum(latents**2, -1) / 2. -
          64. * (math.log(2. * math.pi) / 2. + math.log(4096.)))
  np.testing.assert_allclose(
      model.bits_per_dim(images), -nats / (64. * math.log(2.)), rtol=1e-4)
  # Four more bits of noise take four more bits.
  of_eight = model_of(8, np.uint8(images >> 8))
  difference = (model.bits_per_dim(images) -
                of_eight.bits_per_dim(np.uint8(images >> 8)))
  assert float(tf.reduce_mean(difference)) == pytest.approx(4., abs=.05)


def test_it_is_fitted_scored_and_mapped():
  images = images_of(12)
  model = model_of(12, images)
  model.compile(keras.optimizers.Adam(1e-3))
  history = model.fit(images, batch_size=20, epochs=2, verbose=0)
  assert np.isfinite(history.history['loss']).all()
  bits = model.bits_per_dim(images)
  np.testing.assert_allclose(
      tf.reduce_sum(tg.score_map(model, images), [1, 2]), bits, rtol=1e-5)
  np.testing.assert_allclose(
      tg.score(model, images, 'complexity'),
      bits - scores.compressed_bits_per_dim(images >> 4), rtol=1e-5)


def size(pixels, **arguments):
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, **arguments)
  return file.tell()


def test_16_bits_are_compressed_whole_or_by_halves():
  noise = np.random.default_rng(0).integers(
      0, 2**10, (1, 32, 32, 1)).astype(np.uint16)
  steps = np.uint16(np.arange(32 * 32) // 256 * 257).reshape(1, 32, 32, 1)
  images = np.concatenate([noise, steps])
  whole = [size(image[..., 0], format='PNG', optimize=True)
           for image in images]
  halves = [sum(size(np.uint8(half[..., 0]), format='WEBP', lossless=True)
                for half in (image >> 8, image & 255)) for image in images]
  assert halves[0] < whole[0] and whole[1] < halves[1]
  np.testing.assert_allclose(
      scores.compressed_bits_per_dim(images), [halves[0] / 128, whole[1] / 128])


@pytest.mark.slow
def test_served_as_it_is(tmp_path):
  images = images_of(12, 4)
  model = model_of(12, images)
  path = tg.export_saved_model(model, str(tmp_path))
  signatures = tf.saved_model.load(path).signatures
  assert signatures['encode'].structured_input_signature[1][
      'images'].dtype == tf.uint16
  latents = signatures['encode'](images=tf.constant(images))['latents']
  np.testing.assert_array_equal(
      signatures['decode'](latents=latents)['images'], images)
  np.testing.assert_allclose(
      signatures['log_prob'](images=tf.constant(images))['bits_per_dim'],
      model.bits_per_dim(images), rtol=1e-5)


@pytest.mark.parametrize('num_bits', [0, 17, -1, 8.5, True])
def test_bits_are_1_to_16(num_bits):
  flow = tg.Glow(SHAPE, levels=2, steps=1, width=4, seed=0)
  with pytest.raises(ValueError, match='`num_bits` must be in 1 .. 16'):
    tg.FlowModel(flow, num_bits=num_bits)


def test_images_of_another_type_are_refused():
  images = images_of(12)
  model = model_of(12, images)
  with pytest.raises(TypeError, match='uint8, but uint16, 0 .. 65535, is'):
    model.log_prob(np.uint8(images >> 8))
  of_eight = model_of(8, np.uint8(images >> 8))
  with pytest.raises(TypeError, match='uint16, but uint8, 0 .. 255, is'):
    of_eight.log_prob(images)


def test_noise_of_a_check_fills_all_bits():
  images = images_of(12)
  model = model_of(12, images)
  noise = np.random.default_rng(0).integers(
      0, 65535, images.shape, np.uint16, endpoint=True)
  errors = []
  for rows in (images, noise):
    check = tg.ReconstructionCheck(rows)
    check.set_model(model)
    errors += [check.errors(), check.noise_errors()]
  np.testing.assert_array_equal(errors[1], errors[2])
  assert not np.array_equal(errors[0], errors[1])
