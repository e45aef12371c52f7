import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import depth
import tfp_glow


@pytest.mark.slow
def test_a_small_flow_gives_every_pixel_back(capsys, monkeypatch):
  monkeypatch.setattr(depth, 'VARIANTS', depth.VARIANTS[:1])
  assert depth.main(['--width', '8', '--steps', '1', '--images', '2']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert '3 levels x 1 steps, width 8; 2 images' in lines[0]
  float32, bfloat16 = lines[3:]
  assert float32.split()[:3] == ['conv1x1', 'affine', 'float32']
  assert float32.split()[6] == '100.000%' and len(float32.split()) == 7
  assert bfloat16.split()[2] == 'mixed_bfloat16'
  assert bfloat16.split()[6] == '100.000%' and len(bfloat16.split()) == 9
  assert keras.config.dtype_policy().name == 'float32'


@pytest.mark.slow
def test_networks_in_bfloat16_lose_pixels_that_encoding_keeps():
  images = depth.synthetic_images(2)
  result = depth.measure(
      images, 'lu', 'affine', 'mixed_bfloat16', steps=2, width=8, noise=.5)
  assert result.pixels == 1. and result.error < 1e-4
  assert result.low_precision_error > 10. * result.error
  assert np.isfinite(result.bits_per_dim) and result.largest_latent < 100.


def test_a_lost_pixel_is_an_error(capsys, monkeypatch):
  decode = tfp_glow.FlowModel.decode

  def decode_wrongly(self, latents):
    images = decode(self, latents).numpy()
    images[0, 0, 0, 0] ^= 1
    return tf.constant(images)

  monkeypatch.setattr(tfp_glow.FlowModel, 'decode', decode_wrongly)
  monkeypatch.setattr(depth, 'VARIANTS', depth.VARIANTS[2:3])
  monkeypatch.setattr(depth, 'POLICIES', depth.POLICIES[:1])
  assert depth.main(['--width', '8', '--steps', '1', '--images', '2']) == 1
  output = capsys.readouterr()
  assert '99.984%' in output.out and 'changed pixels' in output.err


def test_every_weight_is_moved():
  images = depth.synthetic_images(2)
  model = depth.moved_glow(images, 'lu', 'affine', steps=1, width=8, noise=.1)
  before = tfp_glow.Glow((32, 32, 3), levels=3, steps=1, width=8, seed=0,
                         permutation='lu')
  for variable, initial in zip(
      model.flow.trainable_variables, before.trainable_variables,
      strict=True):
    assert (variable.numpy() != initial.numpy()).all(), variable.name


@pytest.mark.parametrize('num_images', [1, 4])
def test_images_are_noise_and_waves(num_images):
  images = depth.synthetic_images(num_images)
  assert images.shape == (num_images, 32, 32, 3) and images.dtype == np.uint8
  roughness = np.abs(np.diff(images.astype(float), axis=1)).mean((1, 2, 3))
  assert (roughness[0::2] > 60.).all() and (roughness[1::2] < 40.).all()
  np.testing.assert_array_equal(images, depth.synthetic_images(num_images))
