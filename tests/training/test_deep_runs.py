"""Runs of images of more than 8 bits and of more than three channels."""

import json
import types

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf
import tifffile

from tests.training import driver
from training import evaluation
from training import export
from training import groups
from training import pictures
from training import runs
from training import score
from training import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def images():
  """Values of 12 bits; channels follow each other."""
  values = np.random.default_rng(0).integers(0, 3000, (90, 4, 4, 5))
  values[..., 1:] = values[..., :1] // 2 + values[..., 1:] // 8
  values[0, 0, 0, 0] = 4095
  return values.astype(np.uint16)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, images):
  path = tmp_path_factory.mktemp('deep')
  np.savez(path / 'images.npz', images=images)
  train.train(driver.recipe('glow', [
      '--config.deterministic=False', '--config.model.num_bits=12',
      f'--config.data.name=npz:{path}/images.npz', '--config.data.bits=12',
      '--config.picture_channels=(4, 2, 0)', '--config.eval_images=9',
      '--config.data.condition=downsample:2']), str(path / 'run'))
  return path / 'run'


def test_a_run_models_all_bits_and_gives_them_back(workdir, images):
  config, model = runs.load(str(workdir))
  assert model.image_shape == (4, 4, 5) and model.num_bits == 12
  batches = groups.open_split(config, None).eval_batches(9)
  held_out, conditions = evaluation.unpack(model, next(iter(batches)))
  assert held_out.dtype == tf.uint16
  assert {image.tobytes() for image in held_out.numpy()} <= {
      image.tobytes() for image in images << 4}
  _, exact = evaluation.reconstruction(model, batches)
  assert exact == 9
  # No more than uniform values would take.
  assert evaluation.bits_per_dim(model, batches).mean() < 12.5


def test_pictures_show_the_channels_that_are_named(workdir):
  drawn = np.asarray(Image.open(
      workdir / 'pictures' / 'reconstructions_0000012.png'))
  config, model = runs.load(str(workdir))
  held_out, _ = evaluation.unpack(model, next(iter(
      groups.open_split(config, None).eval_batches(9, 20))))
  corner = pictures.visible(held_out[0], config.picture_channels)[0, 0]
  np.testing.assert_array_equal(
      corner, (held_out[0, 0, 0].numpy() >> 8)[[4, 2, 0]])
  # Somewhere in the first cell, right of the names of the rows.
  assert (drawn[4:24] == corner).all(axis=-1).any()


@pytest.mark.parametrize('count, channels, shown', [
    (1, None, [0]), (2, None, [0]), (3, None, [0, 1, 2]),
    (5, None, [0, 1, 2]), (5, [4], [4]), (2, (1, 0, 1), [1, 0, 1])])
def test_visible_channels(count, channels, shown):
  images = np.arange(2 * count, dtype=np.uint8).reshape(2, 1, 1, count)
  np.testing.assert_array_equal(
      pictures.visible(images, channels), images[..., shown])
  np.testing.assert_array_equal(
      pictures.visible(images.astype(np.uint16) * 257, channels),
      images[..., shown])


@pytest.mark.parametrize('channels', [(0, 1), (0, 1, 5), (-1,), ()])
def test_channels_that_are_none_are_refused(channels):
  with pytest.raises(ValueError, match=(
      r'`picture_channels` is \(.*; it must be one or three numbers of chan.*'
      ' 0 to 4')):
    pictures.visible(np.zeros((1, 4, 4, 5), np.uint8), channels)


def test_they_are_refused_before_anything_is_trained(workdir, tmp_path):
  config = runs.load(str(workdir))[0]
  config.picture_channels = (0, 1)
  with pytest.raises(ValueError, match='`picture_channels`'):
    train.train(config, str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_files_are_scored_with_all_their_bits(
    workdir, images, tmp_path, capsys):
  folder = tmp_path / 'scans'
  folder.mkdir()
  for number in range(3):
    tifffile.imwrite(folder / f'{number}.tif', images[number],
                     photometric='minisblack', planarconfig='contig')
  Image.new('RGB', (4, 4)).save(folder / 'other.png')
  score.main(types.SimpleNamespace(
      workdir=str(workdir), weights=None, images=str(folder), good=None,
      bad=None, background=None, rank_by='complexity', typical_images=20,
      columns=2, batch_size=2, output=str(tmp_path)))
  summary = json.loads(capsys.readouterr().out)
  assert summary['images'] == {'images': 3} and summary['left_out'] == 1
  assert 'it has 3 channels, but the run has 5' in (
      tmp_path / 'scores.csv').read_text()
  table = np.genfromtxt(tmp_path / 'scores.csv', delimiter=',', names=True,
                        max_rows=3)
  _, model = runs.load(str(workdir))
  deep = images[:3] << 4
  means = np.round(np.float32(deep).reshape(3, 2, 2, 2, 2, 5).mean((2, 4)))
  maps = means.repeat(2, axis=1).repeat(2, axis=2) / 65535. - .5
  np.testing.assert_allclose(
      table['bits_per_dim'],
      model.bits_per_dim(deep, feature_map=np.float32(maps)), rtol=1e-4)


def test_the_export_takes_uint16(workdir, tmp_path):
  export.main(types.SimpleNamespace(
      workdir=str(workdir), weights=None, directory=str(tmp_path),
      direction=[], examples=3, typical_images=0))
  signatures = tf.saved_model.load(tmp_path / '1').signatures
  told = signatures['examples'](index=tf.range(3))
  assert told['images'].dtype == tf.uint16
  latents = signatures['encode'](**told)['latents']
  decoded = signatures['decode'](
      latents=latents, feature_map=told['feature_map'])
  np.testing.assert_array_equal(decoded['images'], told['images'])
