import hashlib
import itertools
import json
import pathlib
import socket
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from training import data
from training import processes


@pytest.fixture
def noise(save_images):
  """41 images in which each pixel tells which it is."""
  images = np.random.default_rng(0).integers(0, 256, (41, 9, 7, 3), np.uint8)
  return save_images(train=images, test=images[:5])


def _take(batches, count):
  return list(itertools.islice(batches.as_numpy_iterator(), count))


def _assert_same(first, second):
  assert len(first) == len(second) > 0
  for a, b in zip(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('batch_size', [
    pytest.param(1, marks=pytest.mark.slow), 8,
    pytest.param(41, marks=pytest.mark.slow)])
@pytest.mark.parametrize('fields', [
    {}, {'flip': True, 'shift': .1}, {'shift': (0, 1)},
    {'crop': 'random', 'image_size': (4, 5), 'flip': True}])
def test_a_stream_can_be_entered_anywhere(config, noise, batch_size, fields):
  config.update(name=noise, **fields)
  images = data.open(config)
  whole = _take(images.train_batches(batch_size, seed=3), 60)
  for start in (1, 5, 6, 41, 57):
    entered = images.train_batches(batch_size, seed=3, start_step=start)
    _assert_same(whole[start:], _take(entered, 60 - start))


def test_a_stream_can_be_entered_far_away(config, noise):
  config.update(name=noise, flip=True, shift=.1)
  images = data.open(config)
  step = 10 ** 9
  before = _take(images.train_batches(8, seed=3, start_step=step - 7), 8)
  _assert_same(before[7:],
               _take(images.train_batches(8, seed=3, start_step=step), 1))


@pytest.mark.slow
def test_the_stream_is_the_same_in_another_process(config, noise):
  config.update(name=noise, flip=True, shift=.1)
  fields = json.dumps({**config.to_dict(), 'shift': .1})
  result = processes.run('tests.training.data.stream', fields)
  digest = hashlib.sha256()
  for batch in _take(data.open(config).train_batches(8, seed=3), 29)[20:]:
    digest.update(batch)
  assert result.stdout.strip() == digest.hexdigest()


def test_what_is_open_does_not_change_with_the_configuration(config, noise):
  config.update(name=noise)
  images = data.open(config)
  before = _take(images.train_batches(8, seed=3), 3)
  config.flip = True
  _assert_same(before, _take(images.train_batches(8, seed=3), 3))


def test_every_image_comes_once_an_epoch(config, numbered):
  config.name = numbered
  batches = _take(data.open(config).train_batches(7, seed=0), 30)
  numbers = np.concatenate([labels for _, labels in batches])[:3 * 53]
  epochs = numbers.reshape(3, 53)
  for epoch in epochs:
    assert sorted(epoch) == list(range(53))
  correlations = np.corrcoef([range(53), *epochs])[np.triu_indices(4, 1)]
  assert np.all(np.abs(correlations) < .5)


def test_labels_stay_with_their_images(config, numbered):
  config.name = numbered
  images = data.open(config)
  for batch, labels in _take(images.train_batches(7, seed=0), 20):
    assert batch.dtype == np.uint8 and labels.dtype == np.int32
    assert np.all(batch == labels[:, None, None, None])


def test_seeds_give_other_orders_and_other_augmentation(config, noise):
  config.update(name=noise, flip=True)
  images = data.open(config)
  first, second = (
      _take(images.train_batches(41, seed=seed), 1)[0] for seed in (0, 1))
  assert np.any(first != second)
  mirrored = np.concatenate([first, first[:, :, ::-1]])
  flipped = [any(np.array_equal(image, one) for one in first)
             for image in second]
  assert all(any(np.array_equal(image, one) for one in mirrored)
             for image in second)
  assert 0 < sum(flipped) < 41


def test_the_stream_of_images_does_not_depend_on_the_batch(config, noise):
  config.update(name=noise, flip=True, shift=.2, mutate=.3)
  images = data.open(config)
  small = np.concatenate(_take(images.train_batches(4, seed=0), 30))
  large = np.concatenate(_take(images.train_batches(40, seed=0), 3))
  np.testing.assert_array_equal(small, large)


def test_without_labels_batches_are_images(config, noise):
  config.name = noise
  images = data.open(config)
  assert images.num_classes is None and images.class_names is None
  for batches in (images.train_batches(8, 0), images.eval_batches(4)):
    assert isinstance(batches.element_spec, tf.TensorSpec)
  assert images.train_batches(8, 0).element_spec.shape == (8, 9, 7, 3)


def test_evaluation_has_every_image_in_order(config, numbered):
  config.name = numbered
  images = data.open(config)
  for _ in range(2):
    batches = _take(images.eval_batches(4), 10)
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.tolist() == list(range(10))


def test_evaluation_of_some_images_is_spread_and_repeats(config, save_images):
  labels = np.repeat(np.arange(10), 20)
  images = np.zeros((200, 2, 2, 1), np.uint8)
  config.name = save_images(train=images, train_labels=labels, test=images,
                            test_labels=labels)
  opened = data.open(config)
  chosen = [np.concatenate([
      labels for _, labels in _take(opened.eval_batches(16, 50), 10)])
            for _ in range(2)]
  np.testing.assert_array_equal(*chosen)
  assert len(chosen[0]) == 50 and len(set(chosen[0])) == 10
  assert len(_take(opened.eval_batches(200, 1000), 2)[0][0]) == 200


def test_augmentation_leaves_evaluation_alone(config, noise):
  config.name = noise
  plain = _take(data.open(config).eval_batches(5), 1)
  config.update(flip=True, shift=.2, mutate=.3)
  _assert_same(plain, _take(data.open(config).eval_batches(5), 1))


def test_training_images_are_mutated(config, noise):
  config.name = noise
  plain = _take(data.open(config).train_batches(40, seed=0), 1)[0]
  config.mutate = .25
  mutated = _take(data.open(config).train_batches(40, seed=0), 1)[0]
  assert np.mean(plain != mutated) == pytest.approx(.25, abs=.03)


def test_examples_to_start_from_are_different_images(config, numbered):
  config.name = numbered
  images = data.open(config)
  batch, labels = images.train_examples(40, seed=0)
  assert batch.shape == (40, 6, 4, 3) and len(set(labels)) == 40
  assert set(images.train_examples(40, seed=1)[1]) != set(labels)


@pytest.mark.parametrize('count', [0, 54])
def test_no_batch_is_larger_than_the_data(config, numbered, count):
  config.name = numbered
  images = data.open(config)
  with pytest.raises(ValueError, match=f'`batch_size` is {count}.* 53'):
    images.train_batches(count, seed=0)
  with pytest.raises(ValueError, match=f'`count` is {count}.* 53'):
    images.train_examples(count, seed=0)


def test_numbers_that_cannot_be_are_named(config, numbered):
  config.name = numbered
  images = data.open(config)
  with pytest.raises(ValueError, match='`seed` is -1'):
    images.train_batches(4, seed=-1)
  with pytest.raises(ValueError, match='`start_step` is -2'):
    images.train_batches(4, seed=0, start_step=-2)
  with pytest.raises(ValueError, match='`batch_size` is 0'):
    images.eval_batches(0)
  with pytest.raises(ValueError, match='`max_examples` is 0'):
    images.eval_batches(4, max_examples=0)


@pytest.mark.parametrize('split, message', [
    ('train[:0]', '`train_split` is .*, which is empty'),
    ('trian', "`train_split` is 'trian'.*splits are train \\(53\\)"),
    ('train[:1', '`train_split` is'),
])
def test_a_split_has_to_be_there(config, numbered, split, message):
  config.update(name=numbered, train_split=split)
  with pytest.raises(ValueError, match=message):
    data.open(config)


def test_splits_are_in_the_syntax_of_tfds(config, numbered):
  config.update(name=numbered, train_split='train[:50%]+test',
                eval_split='train[-3:]')
  images = data.open(config)
  assert (images.num_train, images.num_eval) == (36, 3)
  assert _take(images.eval_batches(3), 1)[0][1].tolist() == [50, 51, 52]


def _rows(strategy, cache_dir, environment=({},)):
  with tempfile.TemporaryDirectory() as folder:
    outputs = [pathlib.Path(folder, str(k)) for k in range(len(environment))]
    workers = [
        processes.start('tests.training.data.rows', strategy, cache_dir,
                        environment=variables, output=output)
        for variables, output in zip(environment, outputs)]
    for worker in workers:
      worker.join(120)
    return [json.loads(output.read_text().splitlines()[-1])
            for output in outputs]


@pytest.mark.slow
def test_replicas_get_their_rows_in_order(config):
  images = data.open(config)
  batches = [labels.tolist() for _, labels in _take(
      images.train_batches(8, seed=0), 3)]
  rows, = _rows('mirrored', config.cache_dir)
  assert rows == [[batch[:4], batch[4:]] for batch in batches]


def test_workers_get_their_rows_in_order(config):
  images = data.open(config)
  batches = [labels.tolist() for _, labels in _take(
      images.train_batches(8, seed=0), 3)]
  with socket.socket() as first, socket.socket() as second:
    for bound in (first, second):
      bound.bind(('127.0.0.1', 0))
    workers = [f'127.0.0.1:{bound.getsockname()[1]}'
               for bound in (first, second)]
  environment = [
      {'TF_CONFIG': json.dumps({
          'cluster': {'worker': workers},
          'task': {'type': 'worker', 'index': index}})} for index in range(2)]
  rows = _rows('multi_worker', config.cache_dir, environment)
  assert rows[0] == [[batch[:4]] for batch in batches]
  assert rows[1] == [[batch[4:]] for batch in batches]
