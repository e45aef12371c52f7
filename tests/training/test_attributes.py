"""What the commands do with data sets of several attributes."""

import json
import types

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.training import driver
import tfp_glow
from training import data
from training import directions
from training import evaluation
from training import groups
from training import judge
from training import manipulate
from training import runs


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  return driver.train_briefly(
      tmp_path_factory.mktemp('run'), '--config.data.name=faces/32x32_300')


@pytest.fixture(scope='module')
def run(workdir):
  return runs.load(workdir)


def values(workdir, output, **kwargs):
  return types.SimpleNamespace(**{
      'workdir': str(workdir), 'weights': None, 'output': str(output),
      'split': 'train', 'attribute': [], 'positives': None, 'negatives': None,
      'name': None, 'seed': 0, 'rows': None, 'strengths': ['0', '1'], **kwargs})


def test_images_are_found_by_attribute(run):
  config, _ = run
  images = groups.open_split(config, 'train')
  every, _ = evaluation.images_and_labels(images.eval_batches(100))
  has = images.eval_attribute('beard') == 1
  for wanted, rows in ((True, has), (False, ~has)):
    found = groups.with_attribute(images, 'beard', wanted)
    np.testing.assert_array_equal(
        evaluation.images_and_labels(found)[0], every[rows])
  assert groups.binary_attributes(images) == ['smile', 'glasses', 'beard']
  for name in ('hair', 'moustache'):
    with pytest.raises(ValueError, match=f"'{name}'.*such are smile, glasses"):
      groups.with_attribute(images, name)


def test_directions_are_those_of_the_two_groups(run):
  config, model = run
  images = groups.open_split(config, 'train')
  found = directions.of_attributes(model, images, ['glasses', 'smile'])
  assert list(found) == ['glasses', 'smile']
  for name, direction in found.items():
    assert direction.dtype == np.float32
    np.testing.assert_allclose(direction, tfp_glow.attribute_direction(
        model, groups.with_attribute(images, name),
        groups.with_attribute(images, name, False)), atol=1e-4)
  with pytest.raises(ValueError, match="'smile' has no direction: 1 of 1 "):
    directions.of_attributes(
        model, groups.open_split(config, 'train[:1]'), ['smile'])


def test_one_attribute_moves_several_images(run, workdir, tmp_path, capsys):
  _, model = run
  manipulate.main(values(workdir, tmp_path, attribute=['smile'], rows=3))
  assert capsys.readouterr().out.split() == [
      str(tmp_path / 'smile.npy'), str(tmp_path / 'smile.png')]
  assert np.load(tmp_path / 'smile.npy').shape == (model.num_dims,)
  assert Image.open(tmp_path / 'smile.png').height == 3 * 100 + 4 + 32


def test_several_attributes_have_a_row_each(
    run, workdir, tmp_path, monkeypatch):
  config, model = run
  drawn = []
  monkeypatch.setattr(
      manipulate.pictures, 'save_grid',
      lambda path, rows, labels, column_labels, channels: drawn.append(
          (path, rows, labels, column_labels)))
  names = ['beard', 'smile']
  manipulate.main(values(workdir, tmp_path, attribute=names))
  (path, rows, labels, column_labels), = drawn
  assert path == tmp_path / 'attributes.png'
  assert labels == names and column_labels == ['real image', 'strength 1']
  held_out = groups.open_split(config, None)
  for row, name in zip(rows, names):
    lacks, _ = groups.draw(groups.with_attribute(held_out, name, False), 1)
    np.testing.assert_array_equal(row[0], lacks[0] >> 4 << 4)
    direction = np.load(tmp_path / f'{name}.npy')
    np.testing.assert_array_equal(
        row, tfp_glow.manipulate(model, lacks, direction, [0., 1.])[0])


@pytest.mark.parametrize('given', [
    {}, {'positives': '1'}, {'negatives': '1'},
    {'attribute': ['smile'], 'positives': '1', 'negatives': '0'},
    {'attribute': ['smile'], 'positives': '1'},
    {'attribute': ['smile'], 'negatives': '0'}])
def test_attributes_or_two_groups_are_needed(workdir, tmp_path, given):
  with pytest.raises(ValueError, match='Either --attribute is needed, or both'):
    manipulate.main(values(workdir, tmp_path, **given))


class _Drawing:
  """A model whose latents are the pixels, so that directions are masks."""

  num_bits, num_dims, condition_names = 8, 32 * 32 * 3, frozenset()

  def encode(self, images):
    return tf.cast(tf.reshape(images, [len(images), -1]), tf.float32)

  def pack(self, batch):
    return {'images': batch}

  def decode(self, latents):
    pixels = tf.reshape(latents, [-1, 32, 32, 3])
    return tf.cast(tf.clip_by_value(pixels, 0., 255.), tf.uint8)


@pytest.mark.slow
def test_the_judge_sees_what_a_direction_adds(run):
  config, _ = run
  images = groups.open_split(config, 'train')
  held_out = data.open(config.data)
  # Glasses of the mean of all faces, so thick that they cannot be missed.
  moves = directions.of_attributes(_Drawing(), images, ['smile', 'glasses'])
  first, *lines = judge.judge_directions(
      _Drawing(), images, held_out, {**moves, 'smile': 0. * moves['smile']},
      [0., 4.], 270)
  assert first['held_out_images'] == 30
  assert first['accuracy_on_held_out_images']['glasses'] > .6
  by_name = {(line['attribute'], line['strength']): line for line in lines}
  assert set(by_name) == {
      (name, strength) for name in ('smile', 'glasses')
      for strength in (0., 4.)}
  assert by_name['glasses', 4.]['has'] > .9 > .6 > by_name['glasses', 0.]['has']
  # A direction that is nothing changes nothing.
  for key in ('has', 'kept', 'images'):
    assert by_name['smile', 4.][key] == by_name['smile', 0.][key]
  assert set(by_name['smile', 4.]['kept']) == {'glasses'}
  smiling = held_out.eval_attribute('smile').sum()
  assert by_name['smile', 0.]['images'] == 30 - smiling
  json.dumps([first, *lines])


class TinyCelebrities(tfds.core.GeneratorBasedBuilder):
  """Attributes as `celeb_a` has them."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self):
    return self.dataset_info_from_configs(
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(4, 4, 3)),
            'landmarks': {'nose_x': np.int64},
            'attributes': {'Smiling': np.bool_, 'Eyeglasses': np.bool_},
            'more': {'Smiling': np.bool_}}))

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples(20)}

  def _generate_examples(self, count):
    for number in range(count):
      image = np.full([4, 4, 3], number, np.uint8)
      yield number, {
          'image': image, 'landmarks': {'nose_x': 3},
          'attributes': {'Smiling': number % 2 == 1, 'Eyeglasses': number > 9},
          'more': {'Smiling': True}}


def test_attributes_inside_a_feature_have_their_own_names(tmp_path):
  TinyCelebrities(data_dir=tmp_path / 'data').download_and_prepare()
  config = data.get_config()
  config.update(name='tiny_celebrities', data_dir=str(tmp_path / 'data'),
                cache_dir=str(tmp_path / 'cache'), eval_split='train')
  images = data.open(config)
  assert list(images.attributes) == ['Smiling', 'Eyeglasses', 'more/Smiling']
  numbers = next(images.eval_batches(20).as_numpy_iterator())[:, 0, 0, 0]
  np.testing.assert_array_equal(images.eval_attribute('Smiling'), numbers % 2)
  np.testing.assert_array_equal(
      images.eval_attribute('Eyeglasses'), numbers > 9)
  assert images.eval_attribute('more/Smiling').all()
