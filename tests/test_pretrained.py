"""The models that come with the package, and the files that they are in."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from tfp_glow import pretrained_models
from training import judge
from training import runs
from training.data import avatars

README = pathlib.Path(__file__).parents[1] / 'README.md'


@pytest.fixture(scope='module')
def model():
  return tfp_glow.pretrained('faces')


@pytest.fixture(scope='module')
def held_out():
  """The first 100 of the faces that were held out."""
  chosen = avatars.faces(10_000)[9000:9100]
  return np.stack([avatars.draw(face) for face in chosen])


def test_bits_per_dim_are_those_that_are_told(model, held_out):
  told = model.held_out_bits_per_dim
  assert len(told) == model.figures['images'] == 1000
  np.testing.assert_allclose(
      model.bits_per_dim(held_out), told[:100], rtol=1e-4)
  mean = model.figures['bits_per_dim']
  assert mean == pytest.approx(told.mean(), rel=1e-5)
  assert mean <= 1.1
  text = README.read_text('utf-8')
  assert text.count(' bits/dim on 1,000 faces') == 1
  assert f' {mean:.3f} bits/dim on 1,000 faces' in text
  assert f' {model.count_params():,} weights' in text


def test_examples_are_held_out_and_come_back(model, held_out):
  np.testing.assert_array_equal(model.examples, held_out[:64])
  np.testing.assert_array_equal(
      model.decode(model.encode(held_out)), held_out >> 3 << 3)
  assert model.figures['images_reconstructed_exactly'] == 1000


def test_directions_do_what_the_readme_says(model):
  assert list(model.directions) == ['smile', 'glasses', 'beard']
  for direction in model.directions.values():
    assert direction.shape == (model.num_dims,)
    assert direction.dtype == np.float32
  judged = model.figures['judged']
  assert [(line['attribute'], line['strength']) for line in judged[1:]] == [
      (name, strength) for name in model.directions for strength in (1., 2.)]
  assert judge.markdown(judged) in README.read_text('utf-8')


def test_samples_are_pictures(model):
  latents = .7 * tf.random.stateless_normal([100, model.num_dims], [0, 0])
  levels = model.distribution.bijector.forward(latents).numpy()
  # Where a flow breaks down, pixels are far beyond black and white.
  assert np.abs(levels - 16.).max() < 32.


def test_commands_take_it_for_a_working_folder(model):
  config, loaded = runs.load('pretrained:faces')
  assert config.data.name == 'faces/32x32'
  assert config.model.scale == model.flow.get_config()['scale'] == 'bounded'
  for ours, other in zip(loaded.weights, model.weights):
    np.testing.assert_array_equal(ours, other)
  with pytest.raises(ValueError, match='say where to write by --output'):
    runs.results('pretrained:faces', None, 'samples.png')
  with pytest.raises(runs.WrongFolderError, match='no averaged weights'):
    runs.load('pretrained:faces', 'averaged')


@pytest.mark.parametrize('name', ['cats', '', 'faces.json', '../faces'])
def test_there_are_no_other_models(name):
  with pytest.raises(ValueError, match=r"`name` must be one of \['faces'\]"):
    tfp_glow.pretrained(name)


@pytest.mark.slow
def test_what_is_saved_comes_back(tmp_path, monkeypatch):
  flow = tfp_glow.Glow((8, 8, 3), levels=1, steps=2, width=4, scale='bounded',
                       permutation='shuffle', coupling='affine', seed=0)
  model = tfp_glow.FlowModel(flow, num_bits=6)
  images = np.random.default_rng(0).integers(
      0, 256, (8, 8, 8, 3), dtype=np.uint8)
  model.adapt(images)
  directions = {'round': np.arange(192.)}
  monkeypatch.setattr(pretrained_models, '_FOLDER', tmp_path)
  paths = pretrained_models.save_pretrained(
      model, 'tiny', directions, images[:3], [1., 2.], {'steps': 3})
  assert sorted(paths) == sorted(tmp_path.iterdir())
  back = tfp_glow.pretrained('tiny')
  np.testing.assert_array_equal(back.log_prob(images), model.log_prob(images))
  np.testing.assert_array_equal(
      back.sample(3, seed=0), model.sample(3, seed=0))
  np.testing.assert_array_equal(back.directions['round'], np.arange(192.))
  np.testing.assert_array_equal(back.examples, images[:3])
  assert back.held_out_bits_per_dim.tolist() == [1., 2.]
  assert back.figures == {'steps': 3} and back.num_bits == 6

  back.save(tmp_path / 'model.keras')
  again = keras.models.load_model(tmp_path / 'model.keras')
  np.testing.assert_array_equal(again.log_prob(images), model.log_prob(images))
  served = tf.saved_model.load(tfp_glow.export_saved_model(
      back, tmp_path / 'export', dict(back.directions)))
  described = served.signatures['describe'](row=tf.zeros([1], tf.int32))
  assert described['attributes'].numpy().tolist() == [[b'round']]
