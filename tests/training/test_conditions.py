"""Runs whose model is told images, from training to a SavedModel."""

import json
import os
import types

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from tests.training import driver
import tfp_glow
from training import checkpoints
from training import conditions
from training import data
from training import evaluation
from training import export
from training import groups
from training import interpolate
from training import levels
from training import metrics
from training import models
from training import runs
from training import sample
from training import score
from training import train


def recipe(*overrides, system='glow'):
  # Deterministic kernels would stay on for other tests of this process.
  return driver.recipe(system, [
      '--config.deterministic=False', '--config.temperatures=(1.,)',
      *overrides])


def flags(workdir, **values):
  """Values of a command's flags."""
  return types.SimpleNamespace(**{
      'workdir': str(workdir), 'weights': None, 'split': None, 'output': None,
      'seed': 0, 'batch_size': 50, 'max_examples': 60, **values})


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run that is told digits with a hidden square, and no labels."""
  path = tmp_path_factory.mktemp('masked')
  train.train(recipe('--config.data.condition=mask:3'), str(path))
  return path


@pytest.fixture(scope='module')
def loaded(workdir):
  return runs.load(str(workdir))


def test_a_run_leaves_what_it_should(workdir, loaded):
  lines = [line for line in metrics.read(workdir)
           if 'eval_bits_per_dim' in line]
  assert lines[-1]['eval_bits_per_dim'] < lines[0]['eval_bits_per_dim'] - .1
  assert checkpoints.steps(workdir / 'checkpoints') == [8, 10, 12]
  config, model = loaded
  assert model.condition_names == {'feature_map'}
  batches = data.open(config.data).eval_batches(20, 20)
  assert evaluation.bits_per_dim(model, batches).mean() == pytest.approx(
      lines[-1]['eval_bits_per_dim'], rel=1e-6)
  # The condition, a row of samples, and the image.
  picture = np.asarray(Image.open(
      workdir / 'pictures' / 'samples_0000012.png'))
  assert picture.shape[0] == 3 * 100 + 4
  _, exact = evaluation.reconstruction(model, batches)
  assert exact == 20


@pytest.mark.slow
def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(
    workdir, tmp_path):
  for steps in (6, 12):
    train.train(recipe('--config.data.condition=mask:3',
                       f'--config.steps={steps}'), str(tmp_path))
  one, other = (tf.train.load_checkpoint(f'{path}/checkpoints/step-12')
                for path in (workdir, tmp_path))
  names = [name for name in one.get_variable_to_shape_map()
           if 'CHECKPOINTABLE' not in name and 'save_counter' not in name]
  assert len(names) > 20
  for name in names:
    np.testing.assert_allclose(
        one.get_tensor(name), other.get_tensor(name), atol=1e-5, err_msg=name)


def test_a_folder_of_another_condition_is_refused(workdir):
  with pytest.raises(runs.WrongFolderError,
                     match="was 'mask:3' and is 'mask:2'"):
    train.train(recipe('--config.data.condition=mask:2'), str(workdir))


@pytest.mark.slow
def test_the_command_draws_and_measures(workdir, tmp_path, capsys):
  train.train(recipe('--config.steps=2', '--config.checkpoint_every=2'),
              str(tmp_path))
  capsys.readouterr()
  picture = tmp_path / 'c.png'
  conditions.main(flags(
      workdir, baseline=str(tmp_path), temperature=.5, rows=4, images=7,
      output=str(picture)))
  results = json.loads(capsys.readouterr().out)
  assert results['images'] == 60
  assert results['less_than_baseline'] == pytest.approx(
      results['baseline_bits_per_dim'] - results['bits_per_dim'], abs=1e-6)
  assert results['less_than_baseline_error'] > 0.
  assert 0. < results['psnr'] < results['psnr_of_images']
  assert 0. < results['samples_differ'] and 0. < results['images_differ']
  drawn = np.asarray(Image.open(picture))
  assert drawn.shape[:2] == (4 * 100 + 4 + 32, 7 * 100 + 4)
  with pytest.raises(ValueError, match='is told no images: a run with `data.'):
    conditions.main(flags(tmp_path))
  with pytest.raises(ValueError, match='--baseline=.* is told images, too'):
    conditions.main(flags(workdir, baseline=str(workdir)))


def test_agreement_and_differences_are_what_they_say(loaded):
  config, model = loaded
  images, known = next(data.open(config.data).eval_batches(
      6, 6).as_numpy_iterator())
  condition = data.open(config.data).condition
  perfect = np.repeat(images[:, None] // 16 * 16, 3, axis=1)
  results = conditions.measure(
      model, condition, images, known['feature_map'], perfect)
  assert results['psnr'] == pytest.approx(results['psnr_of_images'])
  assert results['samples_differ'] == 0.
  moved = perfect + np.uint8([[[[[0]]], [[[2]]], [[[4]]]]])
  results = conditions.measure(
      model, condition, images, known['feature_map'], moved)
  assert results['samples_differ'] == pytest.approx(2., rel=.01)
  assert results['images_differ'] == pytest.approx(np.sqrt(
      images.astype(float).var(axis=0, ddof=1).mean()))


def test_samples_stand_beside_their_conditions(workdir, loaded, tmp_path):
  config, model = loaded
  images = groups.open_split(config, None)
  rows, names = sample.draw_conditioned(model, images, [.5, 1.], 3, 4, 0)
  assert rows.shape == (6, 5, 8, 8, 1)
  assert names == ['temperature 0.5', '', '', 'temperature 1', '', '']
  pixels, known = next(images.eval_batches(3, 3).as_numpy_iterator())
  hidden = known['feature_map'][..., 1:] > 0.
  np.testing.assert_array_equal(
      rows[:3, 0], np.where(hidden, 128, pixels))
  np.testing.assert_array_equal(rows[0, 1:], model.sample(
      4, .5, seed=0, feature_map=np.repeat(known['feature_map'][:1], 4, 0)))
  with pytest.raises(ValueError, match='--classes is given, but the model is'):
    sample.main(flags(workdir, temperatures=['1'], classes=['1'], rows=1,
                      columns=2))


@pytest.mark.slow
def test_latent_commands_take_the_conditions_along(workdir, tmp_path):
  levels.main(flags(workdir, columns=3, temperature=.7, output=str(tmp_path)))
  interpolate.main(flags(workdir, rows=2, columns=3, method='linear',
                         output=str(tmp_path)))
  assert {'levels.png', 'interpolation.png', 'manifold.png'} <= set(
      os.listdir(tmp_path))


def test_files_are_scored_given_what_is_told_of_them(
    workdir, loaded, tmp_path, capsys):
  config, model = loaded
  digits, _ = next(data.open(config.data).eval_batches(
      5, 5).as_numpy_iterator())
  (tmp_path / 'images').mkdir()
  for number, image in enumerate(digits[..., 0]):
    Image.fromarray(image).save(tmp_path / 'images' / f'{number}.png')
  values = flags(
      workdir, images=str(tmp_path / 'images'), good=None, bad=None,
      typical_images=20, background=None, rank_by='complexity', columns=2,
      output=str(tmp_path))
  score.main(values)
  maps = data.open(config.data).condition.maps(
      tf.constant(digits), tf.fill([5], .5), tf.fill([5], .5))
  table = np.genfromtxt(tmp_path / 'scores.csv', delimiter=',', names=True)
  np.testing.assert_allclose(
      table['bits_per_dim'], model.bits_per_dim(digits, feature_map=maps),
      rtol=1e-5)
  assert (tmp_path / 'ranked.png').exists()


def test_a_run_is_exported_with_its_condition(workdir, loaded, tmp_path):
  config, model = loaded
  export.main(flags(workdir, directory=str(tmp_path), direction=[], examples=4,
                    typical_images=20))
  signatures = tf.saved_model.load(tmp_path / '1').signatures
  examples = signatures['examples'](index=tf.range(4))
  assert set(examples) == {'images', 'feature_map'}
  told = {'images': examples['images'],
          'feature_map': examples['feature_map']}
  got = signatures['score'](**told)
  np.testing.assert_allclose(
      got['bits_per_dim'], model.bits_per_dim(**told), rtol=1e-5)
  expected = evaluation.typicality(config, model, 20)
  np.testing.assert_allclose(
      got['typicality'], expected.distance(got['bits_per_dim']), rtol=1e-4)


@pytest.mark.slow
def test_labels_and_maps_go_together(tmp_path):
  train.train(recipe('--config.data.condition=mask:3', '--config.steps=2',
                     '--config.model.class_conditional=True'), str(tmp_path))
  config, model = runs.load(str(tmp_path))
  assert model.condition_names == {'feature_map', 'label'}
  rows, _ = sample.draw_conditioned(
      model, groups.open_split(config, None), [1.], 2, 3, 0)
  assert rows.shape == (2, 4, 8, 8, 1)
  with pytest.raises(ValueError, match='class-conditional.*files have none'):
    score.main(flags(
        tmp_path, images=str(tmp_path), good=None, bad=None, typical_images=0,
        background=None, rank_by='complexity'))


@pytest.mark.slow
def test_maps_of_ones_own(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), np.uint8)
  np.savez(tmp_path / 'images.npz', images=images,
           images_feature_map=images // 2)
  config = recipe(
      f'--config.data.name=npz:{tmp_path}/images.npz', '--config.steps=2',
      '--config.data.condition=feature_map', '--config.initial_images=30',
      '--config.eval_images=6', '--config.optimizer.average=None')
  train.train(config, str(tmp_path / 'run'))
  config, model = runs.load(str(tmp_path / 'run'))
  assert model.flow.condition_shapes == {'feature_map': (4, 4, 1)}
  pixels, known = next(data.open(config.data).eval_batches(
      6, 6).as_numpy_iterator())
  results = conditions.measure(
      model, data.open(config.data).condition, pixels, known['feature_map'],
      pixels[:, None].repeat(2, axis=1))
  assert results['psnr'] is results['psnr_of_images'] is None
  with pytest.raises(ValueError, match='is told maps.*files have none'):
    score.main(flags(
        tmp_path / 'run', images=str(tmp_path), good=None, bad=None,
        typical_images=0, background=None, rank_by='complexity'))


def test_nice_is_told_no_images():
  config = recipe('--config.data.condition=mask:3', system='nice')
  with pytest.raises(ValueError, match='NICE takes no images as conditions'):
    models.build(config, (8, 8, 1), None, 2)


def test_real_nvp_is_told_images():
  config = recipe('--config.data.condition=mask:3', system='real_nvp')
  model = models.build(config, (8, 8, 1), None, 2)
  assert isinstance(model.flow, tfp_glow.RealNVP)
  assert model.flow.condition_shapes == {'feature_map': (8, 8, 2)}
