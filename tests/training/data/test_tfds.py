import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from training import data
from training import processes
from training.data import tfds_source

_ROOT = pathlib.Path(__file__).parents[3]


def _images(count, shape=(6, 4, 3), dtype=np.uint8):
  top = np.iinfo(dtype).max + 1
  return np.random.default_rng(0).integers(0, top, (count, *shape), dtype)


class _Builder(tfds.core.GeneratorBasedBuilder):
  """What data sets of TFDS have in common, for the ones below."""

  VERSION = tfds.core.Version('1.0.0')
  FEATURES = {'image': tfds.features.Image(shape=(6, 4, 3))}
  SPLITS = {'train': 20, 'test': 10}

  def _info(self):
    return self.dataset_info_from_configs(
        features=tfds.features.FeaturesDict(self.FEATURES))

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(count)
            for split, count in self.SPLITS.items()}

  def _generate_examples(self, count):
    for number, image in enumerate(_images(count)):
      yield number, self.example(number, image)

  def example(self, number, image):
    return {'image': image}


class TinyLabelled(_Builder):
  FEATURES = {
      'image': tfds.features.Image(shape=(6, 4, 3)),
      'label': tfds.features.ClassLabel(names=['ape', 'bee', 'cat'])}
  SPLITS = {'train': 20, 'validation': 5, 'test': 10}

  def example(self, number, image):
    return {'image': image, 'label': int(image[0, 0, 0]) % 3}


class TinyOneSplit(_Builder):
  SPLITS = {'everything': 30}


class TinyConfigured(_Builder):
  BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name, version='1.0.0')
                     for name in ('first', 'second')]
  SPLITS = {'train': 20, 'validation': 10}


class TinyMixed(_Builder):
  FEATURES = {'image': tfds.features.Image(shape=(None, None, 3)),
              'label': tfds.features.Text()}

  def example(self, number, image):
    return {'image': image[:5 + number % 2], 'label': 'not a class'}


class TinyDeep(_Builder):
  FEATURES = {'picture': tfds.features.Image(shape=(6, 4, 1), dtype=np.uint16)}

  def _generate_examples(self, count):
    for number, image in enumerate(_images(count, (6, 4, 1), np.uint16)):
      yield number, {'picture': image}


class TinyTransparent(_Builder):
  FEATURES = {'image': tfds.features.Image(shape=(6, 4, 4))}

  def _generate_examples(self, count):
    for number, image in enumerate(_images(count, (6, 4, 4))):
      yield number, {'image': image}


class TinySecret(TinyLabelled):
  def example(self, number, image):
    return {'image': image, 'label': -1}


class TinyPair(_Builder):
  FEATURES = {'left': tfds.features.Image(), 'right': tfds.features.Image()}


class TinyDepth(_Builder):
  FEATURES = {
      'image': tfds.features.Image(shape=(6, 4, 1), dtype=np.float32)}


@pytest.fixture
def prepare(config, tmp_path):
  """Prepares a data set in a folder of the test's own, and opens it."""
  def prepare(builder, name, **fields):
    data_dir = tmp_path / 'data'
    configurations = list(builder.builder_configs) or [None]
    for configuration in configurations:
      builder(config=configuration, data_dir=data_dir).download_and_prepare()
    config.update(name=name, data_dir=str(data_dir), **fields)
    return data.open(config)
  return prepare


def _sorted(images):
  return sorted(image.tobytes() for image in images)


def test_images_and_labels(prepare):
  images = prepare(TinyLabelled, 'tiny_labelled')
  assert images.image_shape == (6, 4, 3)
  assert images.class_names == ['ape', 'bee', 'cat']
  assert (images.num_train, images.num_eval) == (20, 10)
  batch, labels = next(images.eval_batches(16).as_numpy_iterator())
  assert _sorted(batch) == _sorted(_images(10))
  np.testing.assert_array_equal(labels, batch[:, 0, 0, 0] % 3)
  batch, labels = next(images.train_batches(20, 0).as_numpy_iterator())
  assert _sorted(batch) == _sorted(_images(20))
  np.testing.assert_array_equal(labels, batch[:, 0, 0, 0] % 3)


def test_parts_of_splits(prepare):
  images = prepare(TinyLabelled, 'tiny_labelled',
                   train_split='train[:25%]+validation', eval_split='test[8:]')
  assert (images.num_train, images.num_eval) == (10, 2)
  batch, _ = next(images.train_batches(10, 0).as_numpy_iterator())
  assert not set(_sorted(batch)) - set(_sorted(_images(20)))


def test_the_last_tenth_of_an_only_split_is_held_out(prepare):
  images = prepare(TinyOneSplit, 'tiny_one_split')
  assert images.class_names is None
  assert (images.num_train, images.num_eval) == (27, 3)
  held_out = next(images.eval_batches(3).as_numpy_iterator())
  trained_on = next(images.train_batches(27, 0).as_numpy_iterator())
  assert _sorted([*held_out, *trained_on]) == _sorted(_images(30))


def test_a_configuration_is_part_of_the_name(prepare):
  images = prepare(TinyConfigured, 'tiny_configured/second')
  assert (images.num_train, images.num_eval) == (20, 10)
  with pytest.raises(ValueError, match='nearest names.*tiny_configured/second'):
    prepare(TinyConfigured, 'tiny_configured/secnod')


def test_images_of_many_sizes(prepare):
  with pytest.raises(ValueError, match=r'\(5x4, 6x4\): set `image_size`'):
    prepare(TinyMixed, 'tiny_mixed')
  images = prepare(TinyMixed, 'tiny_mixed', image_size=4)
  assert images.image_shape == (4, 4, 3) and images.num_classes is None


def test_16_bits_are_scaled_to_8(prepare):
  images = prepare(TinyDeep, 'tiny_deep')
  batch = next(images.eval_batches(10).as_numpy_iterator())
  assert _sorted(batch) == _sorted(
      (_images(10, (6, 4, 1), np.uint16) >> 8).astype(np.uint8))


def test_transparency_is_dropped(prepare):
  images = prepare(TinyTransparent, 'tiny_transparent')
  batch = next(images.eval_batches(10).as_numpy_iterator())
  assert _sorted(batch) == _sorted(_images(10, (6, 4, 4))[..., :3])


def test_labels_that_are_kept_secret(prepare):
  with pytest.raises(ValueError, match='the label -1.*`eval_split`'):
    prepare(TinySecret, 'tiny_secret')


@pytest.mark.parametrize('name, number', [('tiny_pair', 2), ('iris', 0)])
def test_one_feature_has_to_be_an_image(config, tmp_path, name, number):
  config.update(name=name, data_dir=str(tmp_path))
  with pytest.raises(ValueError, match=f'{number} features are images'):
    data.open(config, download=True)


def test_images_have_to_be_of_whole_numbers(config, tmp_path):
  config.update(name='tiny_depth', data_dir=str(tmp_path))
  with pytest.raises(ValueError, match='images are float32; needed are uint8'):
    data.open(config)


@pytest.mark.parametrize('name, nearest', [
    ('cifer10', 'cifar10'), ('dgits', 'digits'),
    ('lsun/bedrom', 'lsun/bedroom'), ('image_folder', 'image_folder:PATH'),
    ('no such thing', ''), ('mnist:0.0.1', 'mnist')])
def test_the_nearest_names_are_suggested(config, name, nearest):
  config.name = name
  with pytest.raises(ValueError, match=f'`name` is {name!r}.* {nearest}'):
    data.open(config)


def _prepare_from_the_command_line(*arguments, **variables):
  return processes.run('training.prepare', *arguments, environment=variables,
                       capture_errors=True)


def test_what_is_not_prepared_is_not_downloaded(config, tmp_path):
  config.update(name='cifar10', data_dir=f'{tmp_path}/my data')
  command = (f"--name=cifar10 '--data_dir={tmp_path}/my data' --download")
  with pytest.raises(FileNotFoundError, match='python -m training.prepare '
                     + command):
    data.open(config)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name, file', [
    ('imagenet2012', 'ILSVRC2012_img_train.tar'),
    ('celeb_a_hq/256', 'data1024x1024.tar')])
def test_files_that_must_be_fetched_by_hand_are_named(
    config, tmp_path, name, file):
  config.update(name=name, data_dir=str(tmp_path))
  with pytest.raises(FileNotFoundError) as error:
    data.open(config)
  assert f'{tmp_path}/downloads/manual' in str(error.value)
  assert file in str(error.value)


def test_the_command_says_at_once_that_there_is_no_network(tmp_path):
  result = _prepare_from_the_command_line(
      '--name=cifar10', f'--data_dir={tmp_path}', '--download',
      https_proxy='http://127.0.0.1:9')  # where nobody listens
  assert result.returncode == 1
  assert "Error: 'cifar10' cannot be downloaded" in result.stderr


def test_the_command_says_what_is_prepared(tmp_path):
  result = _prepare_from_the_command_line(
      '--name=digits', XDG_CACHE_HOME=str(tmp_path))
  assert result.stdout == (
      'digits is prepared, with the splits train (1,500), test (297).\n')


class TinyOvertaken(TinyConfigured):
  """Finds, when it is ready, that another process has been faster."""

  is_overtaken = False

  def _split_generators(self, dl_manager):
    if not TinyOvertaken.is_overtaken:
      TinyOvertaken.is_overtaken = True
      TinyOvertaken(config=self.builder_config,
                    data_dir=self._data_dir_root).download_and_prepare()
    return super()._split_generators(dl_manager)


def test_another_process_may_prepare_first(tmp_path):
  builder = TinyOvertaken(config='second', data_dir=tmp_path)
  prepared = tfds_source._prepared(builder)
  assert TinyOvertaken.is_overtaken and prepared is not builder
  assert prepared.info.splits['train'].num_examples == 20
  assert prepared.data_path == tmp_path / 'tiny_overtaken' / 'second' / '1.0.0'
