"""Commands that draw what is in a trained model's latents, and export it."""

import os
import pathlib
import types

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from tests.training import driver
import tfp_glow
from training import groups
from training import interpolate
from training import levels
from training import processes
from training import runs

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run of two levels."""
  return driver.train_briefly(
      tmp_path_factory.mktemp('run'), '--config.model.levels=2')


def run(name, *arguments):
  """The lines that a command prints."""
  result = processes.run(f'training.{name}', *arguments, capture_errors=True)
  assert result.returncode == 0, result.stderr
  return result.stdout.splitlines()


def test_a_direction_is_found_drawn_and_exported(workdir, tmp_path):
  npy, png = run('manipulate', f'--workdir={workdir}', '--positives=8',
                 '--negatives=3', '--name=rounder', f'--output={tmp_path}',
                 '--strengths=-1,0,1', '--rows=4')
  config, model = runs.load(workdir)
  direction = np.load(npy)
  shape = model.image_shape
  want = tfp_glow.attribute_direction(
      model, groups.named(config, '8', shape, 'train'),
      groups.named(config, '3', shape, 'train'))
  np.testing.assert_allclose(direction, want, atol=1e-4)
  # Three columns, and what they are called above them.
  assert Image.open(png).size == (3 * 100 + 4, 4 * 100 + 4 + 32)

  exported, = run('export', f'--workdir={workdir}',
                  f'--directory={tmp_path}/served', f'--direction=big={npy}',
                  '--examples=7')
  assert exported == f'{tmp_path}/served/1'
  signatures = tf.saved_model.load(exported).signatures
  images, _ = groups.draw(groups.named(config, '3', shape), 4)
  served = signatures['manipulate'](
      images=tf.constant(images), attribute=tf.zeros([4], tf.int32),
      strength=tf.fill([4], -1.))['images']
  moved = tfp_glow.manipulate(model, images, direction, [-1.])[:, 0]
  assert np.mean(served != moved) < 1. / 500.
  described = signatures['describe'](row=tf.zeros([1], tf.int32))
  assert described['attributes'].numpy().tolist() == [[b'big']]
  assert described['num_examples'].numpy() == 7
  held_out, _ = groups.draw(groups.open_split(config, None).eval_batches(9), 7)
  np.testing.assert_array_equal(
      signatures['examples'](index=tf.range(7))['images'], held_out)


def test_groups_are_classes_or_folders(workdir, tmp_path):
  config, model = runs.load(workdir)
  shape = model.image_shape
  batches = list(groups.named(config, '3', shape, 'train'))
  labels = np.concatenate([labels for _, labels in batches])
  assert len(labels) > 100 and (labels == 3).all()
  held_out, _ = groups.draw(groups.named(config, '3', shape), 1000)
  assert len(held_out) < 60

  # Of another size, and colour, as files of someone's own would be.
  for i, folder in enumerate(['a', 'b', 'b']):
    (tmp_path / folder).mkdir(exist_ok=True)
    Image.fromarray(np.full([20, 20, 3], 40 * i, np.uint8)).save(
        tmp_path / folder / f'{i}.png')
  images, labels = groups.draw(
      groups.named(config, str(tmp_path), shape), 10)
  assert labels is None
  assert images.shape == (3, 8, 8, 1)
  assert sorted(images[:, 0, 0, 0]) == [0, 40, 80]

  for name in ('ten', '10'):
    with pytest.raises(ValueError, match=f"'{name}' is neither a folder"):
      groups.named(config, name, shape)


@pytest.mark.parametrize('fields', [
    {'pad': 2}, {'pad': 2, 'image_size': 4}, {'crop': 6, 'pad': 1},
    {'crop': 'random', 'image_size': 8},
    {'crop': 'random', 'image_size': 8, 'shorter_side': 9},
    {'crop': (1, 2, 3, 4), 'image_size': 8}])
def test_images_of_a_folder_are_brought_to_the_shape_of_the_run(
    fields, tmp_path):
  """Whatever was done to the images of the run itself."""
  config = driver.recipe()
  config.data.update(fields)
  for number, shape in enumerate([(6, 7, 3), (30, 20, 3)]):
    Image.fromarray(np.full(shape, 200, np.uint8)).save(
        tmp_path / f'{number}.png')
  images, _ = groups.draw(
      groups.named(config, str(tmp_path), (8, 8, 1)), 10)
  assert images.shape == (2, 8, 8, 1)
  inside = np.zeros([8, 8], bool)
  pad = fields.get('pad', 0)
  inside[pad:8 - pad, pad:8 - pad] = True
  assert np.all(images[:, inside] == 200) and not np.any(images[:, ~inside])


@pytest.mark.slow
def test_a_folder_tells_no_classes(class_run, tmp_path):
  config, model = runs.load(class_run)
  with pytest.raises(ValueError, match='folder, whose images have no labels'):
    groups.named(config, str(tmp_path), model.image_shape)


def test_images_are_drawn_from_all_of_a_group():
  numbers = np.arange(200)
  batches = tf.data.Dataset.from_tensor_slices((numbers, numbers // 20))
  images, labels = groups.draw(batches.batch(7), 30, seed=1)
  assert len(set(images)) == 30 and len(set(labels)) > 5
  np.testing.assert_array_equal(labels, images // 20)
  again, _ = groups.draw(batches.batch(64), 30, seed=1)
  np.testing.assert_array_equal(images, again)
  assert set(groups.draw(batches.batch(7), 30, seed=2)[0]) != set(images)
  everything, _ = groups.draw(batches.batch(7), 1000)
  assert sorted(everything) == list(numbers)
  with pytest.raises(ValueError, match='no image'):
    groups.draw(batches.take(0).batch(7), 3)


def values(workdir, output, **kwargs):
  return types.SimpleNamespace(
      workdir=str(workdir), weights=None, output=str(output), split=None,
      **{'seed': 0, **kwargs})


def test_strips_lead_from_one_image_to_another(workdir, tmp_path, monkeypatch):
  rows = []
  monkeypatch.setattr(
      interpolate.pictures, 'save_grid',
      lambda path, images, names, column_labels, channels: rows.append(
          (images, names, column_labels)))
  interpolate.main(values(
      workdir, tmp_path, rows=3, columns=5, method='linear'))
  (strips, names, ends), (manifold, no_names, no_ends) = rows
  config, model = runs.load(workdir)
  images = groups.open_split(config, None)
  pixels, labels = groups.draw(images.eval_batches(10), 50 * 3)
  dark = pixels // 16 * 16  # the model has four bits
  assert strips.shape == (3, 5, 8, 8, 1)
  np.testing.assert_array_equal(strips[:, 0], dark[:6:2])
  np.testing.assert_array_equal(strips[:, -1], dark[1:6:2])
  assert names == [f'{a} to {b}' for a, b in zip(labels[:6:2], labels[1:6:2])]
  assert ends == ['real image', '', '', '', 'real image']
  assert manifold.shape == (8, 8, 8, 8, 1) and no_names is no_ends is None
  assert np.mean(manifold[0, 0] == dark[0]) > .9
  assert np.mean(manifold[2, 2] == dark[3]) > .9


def test_strips_of_a_class_conditional_model_keep_to_a_class(
    class_run, tmp_path):
  config, model = runs.load(class_run)
  images = groups.open_split(config, None)
  first, second, labels, names = interpolate.ends(model, images, 4)
  assert len(first) == len(second) == len(labels) == 4
  assert names == [f'{label} to {label}' for label in labels]
  interpolate.main(values(
      class_run, tmp_path, rows=2, columns=3, method='spherical'))
  assert sorted(os.listdir(tmp_path)) == ['interpolation.png', 'manifold.png']


def test_levels_are_drawn_anew_one_after_the_other(
    workdir, class_run, tmp_path):
  config, model = runs.load(workdir)
  images, _ = groups.draw(
      groups.open_split(config, None).eval_batches(10), 3)
  rows, names = levels.resampled(model, images, {}, .7, seed=0)
  assert names == ['real images', 'level 0 drawn anew', 'all drawn anew']
  np.testing.assert_array_equal(
      rows[1], tfp_glow.resample_levels(model, images, [0], .7, seed=0))
  np.testing.assert_array_equal(
      rows[2], tfp_glow.resample_levels(model, images, [0, 1], .7, seed=0))
  rows, names = levels.tempered(model, images, {}, .7, seed=1)
  assert names == [
      'temperature 0.7', 'level 0 at temperature 1', 'level 1 at temperature 1']
  np.testing.assert_array_equal(rows[0], model.sample(3, .7, seed=1))
  np.testing.assert_array_equal(rows[2], model.sample(3, [[.7, 1.]], seed=1))
  levels.main(values(
      class_run, tmp_path, columns=2, temperature=.5))
  assert sorted(os.listdir(tmp_path)) == ['levels.png', 'temperatures.png']
