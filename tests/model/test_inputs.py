"""What a model is given, checked at its door in every form it can have."""

import functools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg

SHAPE = test_model.SHAPE
IMAGES = test_model.random_images(8)
LABELS = np.arange(8) % 3
ERRORS = (TypeError, ValueError, tf.errors.InvalidArgumentError)


@pytest.fixture(scope='module')
def class_model():
  model = test_model.make_model(num_classes=3)
  model.compile(keras.optimizers.SGD(0.), run_eagerly=True)
  return model


@pytest.fixture(scope='module')
def map_model():
  flow = tg.Glow(SHAPE, levels=1, steps=1, width=4, feature_map_channels=1,
                 context_size=2, seed=0)
  model = tg.FlowModel(flow, seed=0)
  model.compile(keras.optimizers.SGD(0.), run_eagerly=True)
  model.adapt(IMAGES, **conditions())
  return model


def conditions():
  return {'feature_map': np.zeros((8, 4, 4, 1), np.float32),
          'context': np.ones((8, 2))}


class Batches(keras.utils.PyDataset):
  """Two batches."""

  def __init__(self, *arrays):
    super().__init__()
    self._arrays = arrays

  def __len__(self):
    return 2

  def __getitem__(self, index):
    return tuple(array[4 * index:4 * index + 4] for array in self._arrays)


def as_data_set(images, y):
  return tf.data.Dataset.from_tensor_slices((images, y)).batch(4)


def as_dicts(images, y):
  y = y if isinstance(y, dict) else {'label': y}
  return tf.data.Dataset.from_tensor_slices({'images': images, **y}).batch(4)


def as_generator(images, y):
  return ((images[start:start + 4], y[start:start + 4]) for start in (0, 4))


FORMS = {'data set': as_data_set, 'dicts': as_dicts, 'PyDataset': Batches,
         'generator': as_generator}


# A generator's length is not known until it has ended.
@pytest.mark.filterwarnings('ignore:Your input ran out of data')
@pytest.mark.parametrize('form', FORMS)
def test_adapt_and_fit_take_the_same(class_model, form):
  shift = class_model.flow.bijectors[1].shift
  class_model.adapt(IMAGES, LABELS)
  want = shift.numpy()
  shift.assign(shift + 1.)
  class_model.adapt(FORMS[form](IMAGES, LABELS))
  np.testing.assert_array_equal(shift, want)
  history = class_model.fit(FORMS[form](IMAGES, LABELS), verbose=0).history
  assert 0. < history['loss'][0] < 20.


@pytest.mark.parametrize('images, labels', [
    (list(IMAGES), list(LABELS)), (IMAGES, LABELS[:, None]),
    (IMAGES, LABELS.astype(np.uint8)), ({'images': IMAGES, 'label': LABELS},
                                        None)])
def test_every_form_of_arrays_is_taken(class_model, images, labels):
  class_model.adapt(images, labels)
  class_model.adapt(IMAGES, LABELS)
  want = class_model.bits_per_dim(IMAGES, LABELS)
  if labels is not None:
    np.testing.assert_array_equal(
        class_model.bits_per_dim(images, labels), want)
  for result in (class_model.evaluate(images, labels, verbose=0)[0],
                 class_model.test_on_batch(images, labels)[0]):
    assert result == pytest.approx(np.mean(want), rel=1e-5)
  assert class_model.fit(images, labels, 4, 1, 0).history['loss'][0] > 0.
  given = {'images': IMAGES, 'label': LABELS[:, None]}
  np.testing.assert_allclose(
      class_model.predict(given, verbose=0)['bits_per_dim'], want, rtol=1e-5)


BAD_LABELS = {
    'from 1': (LABELS + 1, ['3', r'0 .. 2']),
    'minus 1': (2 * (LABELS % 2) - 1, ['-1', r'0 .. 2']),
    'far out': (LABELS.astype(np.int64) + 2**40, ['0 .. 2']),
    'one-hot': (np.eye(3, dtype=int)[LABELS], ['(8, 3)|(4, 3)|(None, 3)']),
    'floats': (LABELS.astype(np.float32), ['float32']),
    'none': (None, ['class-conditional']),
}


@pytest.mark.parametrize('bad', BAD_LABELS)
@pytest.mark.parametrize('method', [
    'fit', 'evaluate', 'adapt', 'log_prob', 'encode', 'train_on_batch',
    'fit on a data set', 'evaluate on a generator', 'fit on a PyDataset',
    'validation', 'call', 'call in a graph'])
def test_bad_labels_are_refused_by(class_model, method, bad):
  labels, words = BAD_LABELS[bad]
  quiet = {'verbose': 0}
  if labels is None and ' on a ' in method:
    method = method.split(' on ')[0]
  inputs = {'images': IMAGES}
  if labels is not None:
    inputs['label'] = labels
  calls = {
      'fit': lambda: class_model.fit(IMAGES, labels, **quiet),
      'evaluate': lambda: class_model.evaluate(IMAGES, labels, **quiet),
      'fit on a data set':
          lambda: class_model.fit(as_data_set(IMAGES, labels), **quiet),
      'evaluate on a generator':
          lambda: class_model.evaluate(as_generator(IMAGES, labels), **quiet),
      'fit on a PyDataset':
          lambda: class_model.fit(Batches(IMAGES, labels), **quiet),
      'validation': lambda: class_model.fit(
          IMAGES, LABELS, validation_data=(IMAGES, labels), **quiet),
      'call': lambda: class_model(inputs),
      'call in a graph': lambda: tf.function(class_model)(inputs),
  }
  call = calls.get(method) or functools.partial(
      getattr(class_model, method), IMAGES, labels)
  before = [weight.numpy() for weight in class_model.weights]
  with pytest.raises(ERRORS) as caught:
    call()
  assert '`label`' in str(caught.value)
  for word in words:
    assert any(w in str(caught.value) for w in word.split('|'))
  for old, weight in zip(before, class_model.weights):
    np.testing.assert_array_equal(old, weight)


@pytest.mark.parametrize('change, words', [
    ({'feature_map': None}, ['`feature_map`', '[N, 4, 4, 1]']),
    ({'context': None}, ['`context`', '[N, 2]']),
    ({'feature_map': np.zeros((8, 2, 2, 1), np.float32)},
     ['`feature_map`', '2, 2, 1)', '[N, 4, 4, 1]']),
    ({'feature_map': np.zeros((8, 4, 4), np.float32)},
     ['`feature_map`', '4, 4)', '[N, 4, 4, 1]']),
    ({'feature_map': np.full((8, 4, 4, 1), np.nan, np.float32)},
     ['`feature_map`', 'finite', 'nan']),
    ({'context': np.full((8, 2), np.inf)}, ['`context`', 'finite', 'inf']),
    ({'feature_map': np.zeros((8, 4, 4, 1), np.uint8)},
     ['`feature_map`', 'uint8', 'floats']),
    ({'colour': np.zeros(8)}, ['`colour`', 'no condition', '`context`']),
])
@pytest.mark.parametrize('method', ['adapt', 'log_prob', 'sample', 'fit',
                                    'fit on arrays'])
def test_bad_conditions_are_refused(map_model, method, change, words):
  given = {k: v for k, v in {**conditions(), **change}.items()
           if v is not None}
  calls = {
      'sample': lambda: map_model.sample(8, **given),
      'fit': lambda: map_model.fit(as_data_set(IMAGES, given), verbose=0),
      'fit on arrays': lambda: map_model.fit(IMAGES, given, verbose=0),
  }
  call = calls.get(method) or functools.partial(
      getattr(map_model, method), IMAGES, **given)
  with pytest.raises(ERRORS) as caught:
    call()
  for word in words:
    assert word in str(caught.value)


def test_too_few_conditions_are_refused(map_model):
  for name, value in conditions().items():
    with pytest.raises(ValueError, match=f'`{name}`.*N = 8 images'):
      map_model.log_prob(IMAGES, **{**conditions(), name: value[:3]})
    three = {n: v[:3] for n, v in conditions().items()}
    with pytest.raises(ValueError, match=f'`{name}`.*N = 3 images'):
      map_model.sample(3, **{**three, name: value})


def test_conditions_can_be_lists(map_model):
  given = conditions()
  want = map_model.log_prob(IMAGES, **given)
  lists = {name: value.tolist() for name, value in given.items()}
  lists['context'] = [[1, 1]] * 8
  np.testing.assert_array_equal(map_model.log_prob(IMAGES, **lists), want)


def test_a_data_set_of_maps_without_a_name_is_told_how(map_model):
  data = as_data_set(IMAGES, conditions()['feature_map'])
  with pytest.raises(TypeError, match=r"\(images, \{'feature_map': ...\}\)"):
    map_model.fit(data, verbose=0)


@pytest.mark.parametrize('decode', [
    pytest.param(functools.partial(tf.io.decode_png, channels=3),
                 marks=pytest.mark.slow),
    pytest.param(tf.io.decode_png, marks=pytest.mark.slow),
    tf.io.decode_image])
def test_images_of_a_shape_that_no_graph_knows_are_taken(decode):
  shape = (4, 4, 3)
  images = test_model.random_images(8, shape=shape)
  files = tf.stack([tf.io.encode_png(image) for image in images])
  data = tf.data.Dataset.from_tensor_slices(files).map(decode).batch(4)
  model = tg.FlowModel(
      tg.Glow(shape, levels=1, steps=1, width=4, seed=0), seed=0)
  model.adapt(data)
  model.compile(keras.optimizers.SGD(0.), jit_compile=False)
  model.fit(data, verbose=0)
  assert model.evaluate(data, verbose=0)[0] == pytest.approx(
      np.mean(model.bits_per_dim(images)), rel=1e-5)
  other = tf.stack([tf.io.encode_png(image[:2]) for image in images])
  data = tf.data.Dataset.from_tensor_slices(other).map(decode).batch(4)
  with pytest.raises(tf.errors.InvalidArgumentError, match='2,4,3.*4,4,3'):
    model.fit(data, verbose=0)


NO_IMAGES = {
    'none': (None, ['None']),
    'objects': (np.array([None, {}]), ['array of Python objects']),
    'a path': (pathlib.Path('photos'), ['Path']),
    'two shapes': ([IMAGES[0], IMAGES[1, 1:]], ['no array', 'shape']),
}


@pytest.mark.parametrize('bad', NO_IMAGES)
@pytest.mark.parametrize('method', [
    'fit', 'evaluate', 'predict', 'adapt', 'log_prob'])
def test_what_is_no_images_is_named(class_model, method, bad):
  images, words = NO_IMAGES[bad]
  with pytest.raises(
      (TypeError, ValueError), match='`(x|images)` is') as caught:
    getattr(class_model, method)(images)
  for word in words:
    assert word in str(caught.value)


@pytest.mark.parametrize('count', [0, -1, 2.5])
def test_adapt_takes_a_positive_number_of_images(class_model, count):
  with pytest.raises(ValueError, match=f'`max_images` must be .*{count}'):
    class_model.adapt(IMAGES, LABELS, max_images=count)


def test_labels_that_no_flow_takes_are_left_out():
  model = test_model.make_model(adapt=False)
  data = as_data_set(IMAGES, LABELS)
  model.adapt(data)
  model.compile(keras.optimizers.SGD(0.), run_eagerly=True)
  model.fit(data, verbose=0)
  with pytest.raises(TypeError, match='`label` is no condition'):
    model.fit(as_dicts(IMAGES, LABELS), verbose=0)
