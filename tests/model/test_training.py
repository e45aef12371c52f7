"""Keras's habits: what its users do with a model, and what they are told."""

import math
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg

IMAGES = test_model.random_images()


class Poisoned(tg.FlowModel):
  """Has a loss that is not finite while `poison` is not."""

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.poison = tf.Variable(0., trainable=False)

  def compute_loss(self, *args, **kwargs):
    return super().compute_loss(*args, **kwargs) + self.poison


def small_flow(**kwargs):
  return tg.Glow(
      test_model.SHAPE, levels=1, steps=1, width=4, seed=0, **kwargs)


@pytest.fixture(scope='module')
def model():
  model = Poisoned(small_flow(), seed=0)
  model.adapt(IMAGES)
  model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
  return model


@pytest.fixture(autouse=True)
def healthy(model):
  model.poison.assign(0.)


def fit(model, **kwargs):
  return model.fit(IMAGES, batch_size=32, verbose=0, **kwargs)


def test_an_epoch_without_a_finite_step_is_nan_and_told(model, tmp_path):
  class Breaks(keras.callbacks.Callback):

    def on_epoch_begin(self, epoch, logs=None):
      self.model.poison.assign(math.inf if epoch else 0.)

  path = os.path.join(tmp_path, 'best.weights.h5')
  best = keras.callbacks.ModelCheckpoint(
      path, monitor='loss', save_best_only=True, save_weights_only=True)
  with pytest.warns(UserWarning, match='epoch [23] .* not finite: 2'):
    history = fit(model, epochs=3, callbacks=[Breaks(), best]).history
  assert 0. < history['loss'][0] < 20.
  assert np.isnan(history['loss'][1:]).all()
  assert np.isnan(history['bits_per_dim'][1:]).all()
  assert history['skipped_steps'] == [0., 2., 2.]
  assert best.best == history['loss'][0]


def test_keras_stops_a_run_that_has_blown_up(model):
  model.poison.assign(math.nan)
  with pytest.warns(UserWarning, match='epoch 1 .* not finite: 1'):
    history = fit(model, epochs=3, callbacks=[
        keras.callbacks.TerminateOnNaN()])
  assert history.epoch == [0]


@pytest.mark.parametrize('name', [
    pytest.param('bits_per_dim', marks=pytest.mark.slow), 'val_bits_per_dim'])
def test_less_bits_per_dim_are_better_without_a_mode(model, name):
  stop = keras.callbacks.EarlyStopping(name, patience=5)
  slow = keras.callbacks.ReduceLROnPlateau(name, patience=5)
  fit(model, epochs=2, callbacks=[stop, slow], validation_data=(IMAGES, None))
  assert stop.mode == slow.mode == 'min'
  assert 0. < stop.best < 20.


def test_a_loss_scale_goes_down_and_training_goes_on():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('mixed_float16')
  try:
    model = Poisoned(small_flow(), seed=0)
  finally:
    keras.config.set_dtype_policy(before)
  model.adapt(IMAGES)
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
  model.optimizer.initial_scale = 2.**40
  with pytest.warns(UserWarning, match='were not finite'):
    history = fit(model, epochs=20).history
  assert float(model.optimizer.dynamic_scale) < 2.**40
  assert 5 < int(model.optimizer.iterations) < 40
  assert int(model.skipped_steps) + int(model.optimizer.iterations) == 40
  assert history['loss'][-1] < history['loss'][0] < 20.


def test_other_optimizers_are_left_as_they_are():
  model = tg.FlowModel(small_flow())
  optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3))
  for given in ('sgd', optimizer):
    model.compile(given, jit_compile=False)
  assert model.optimizer is optimizer


@pytest.mark.parametrize('argument, value', [
    ('loss', 'mse'), ('metrics', ['mae']), ('weighted_metrics', ['mae']),
    ('loss_weights', [1.])])
def test_compile_refuses_what_a_flow_does_not_use(argument, value):
  model = tg.FlowModel(small_flow())
  with pytest.raises(ValueError, match=f'`{argument}` is given.*bits/dim'):
    model.compile('adam', **{argument: value})


def test_fit_says_what_comes_before_it():
  model = tg.FlowModel(small_flow())
  with pytest.raises(ValueError, match=r'compile\(\)'):
    model.fit(IMAGES)
  model.compile('adam', run_eagerly=True)
  with pytest.raises(RuntimeError, match='adapt.*`model.train_on_batch`'):
    model.train_on_batch(IMAGES)


@pytest.mark.parametrize('method, argument', [
    ('fit', 'class_weight'), ('train_on_batch', 'class_weight'),
    ('train_on_batch', 'sample_weight'), ('test_on_batch', 'sample_weight'),
    ('evaluate', 'sample_weight')])
def test_weights_of_images_are_refused(model, method, argument):
  with pytest.raises(ValueError, match=f'`{argument}` is given'):
    getattr(model, method)(IMAGES, **{argument: {0: 1.}})


def test_what_can_be_read_once_lasts_for_one_epoch(model):
  def batches():
    return (IMAGES[start:start + 16] for start in range(0, 64, 16))

  for name, given in (('x', {'x': batches()}), ('validation_data', {
      'x': IMAGES, 'validation_data': batches()})):
    with pytest.raises(ValueError, match=f'`{name}` can be read once.*2 epo'):
      model.fit(epochs=2, verbose=0, **given)
  before = int(model.optimizer.iterations)
  model.fit(batches(), epochs=2, steps_per_epoch=2, verbose=0)
  assert int(model.optimizer.iterations) == before + 4


@pytest.mark.filterwarnings('ignore:Your input ran out of data')
def test_measuring_no_image_is_an_error(model):
  empty = tf.data.Dataset.from_tensor_slices(IMAGES[:0]).batch(8)
  with pytest.raises(ValueError, match='`x` yields no batch'):
    model.evaluate(empty, verbose=0)
  with pytest.raises(ValueError, match='`validation_data` yields no batch'):
    model.fit(IMAGES[:8], validation_data=empty, verbose=0)


def test_fit_on_no_image_is_an_error(model):
  empty = tf.data.Dataset.from_tensor_slices(IMAGES[:0]).batch(8)
  with pytest.raises(ValueError, match='`x` yields no batch'):
    with pytest.warns(UserWarning, match='ran out of data'):
      model.fit(empty, verbose=0)


@pytest.mark.slow
def test_the_seed_of_keras_makes_a_model_repeatable():
  results = []
  for seed in (1, 1, 2):
    keras.utils.set_random_seed(seed)
    flow = tg.Glow(test_model.SHAPE, levels=1, steps=1, width=4)
    model = tg.FlowModel(flow)
    model.adapt(IMAGES)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    fit(model)
    results.append((model.log_prob(IMAGES), model.sample(2), model.sample(2)))
  for one, again in zip(*results[:2]):
    np.testing.assert_array_equal(one, again)
  assert np.any(results[0][0] != results[2][0])
  assert np.any(results[0][1] != results[0][2])


def test_the_precision_of_networks_is_saved(tmp_path):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy('mixed_bfloat16')
  try:
    mixed = tg.FlowModel(small_flow())
  finally:
    keras.config.set_dtype_policy(before)
  assert mixed.network_policy == 'mixed_bfloat16'
  mixed.save(tmp_path / 'model.keras')
  loaded = keras.models.load_model(tmp_path / 'model.keras')
  assert loaded.network_policy == 'mixed_bfloat16'
  assert keras.config.dtype_policy() == before
  mixed.save_weights(tmp_path / 'model.weights.h5')
  plain = tg.FlowModel(small_flow())
  with pytest.warns(UserWarning, match='mixed_bfloat16.* in float32'):
    plain.load_weights(tmp_path / 'model.weights.h5')
  np.testing.assert_array_equal(plain.log_prob(IMAGES), mixed.log_prob(IMAGES))


@pytest.mark.parametrize('name', ['model.h5', 'model.hdf5'])
def test_the_old_file_format_is_refused(model, tmp_path, name):
  with pytest.raises(ValueError, match=r'`filepath`.*model\.keras'):
    model.save(tmp_path / name)
  assert not os.listdir(tmp_path)


@pytest.mark.slow
def test_keras_own_export_writes_the_signatures(model, tmp_path, capsys):
  path = tmp_path / 'exported'
  for _ in range(2):  # it replaces what it wrote
    model.export(path)
  assert 'bits_per_dim' not in capsys.readouterr().out.split('Its')[0]
  served = tf.saved_model.load(os.fspath(path))
  got = served.signatures['serving_default'](images=tf.constant(IMAGES))
  np.testing.assert_allclose(
      got['bits_per_dim'], model.bits_per_dim(IMAGES), rtol=1e-5)
  assert os.listdir(tmp_path) == ['exported']
  with pytest.raises(ValueError, match="`format` is 'onnx'"):
    model.export(path, format='onnx')
  with pytest.raises(TypeError, match='`input_signature`'):
    model.export(path, input_signature=[])
  (tmp_path / 'notes').write_text('mine')
  with pytest.raises(ValueError, match='no SavedModel'):
    model.export(tmp_path)


def test_a_head_without_a_part_in_the_loss_stays_as_it_is():
  model = tg.FlowModel(small_flow(num_classes=3, classifier=True))
  labels = np.arange(64) % 3
  model.adapt(IMAGES, labels)
  model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
  before = model.flow.classifier.kernel.numpy()
  assert fit(model, y=labels).history['skipped_steps'] == [0.]
  np.testing.assert_array_equal(model.flow.classifier.kernel, before)


def test_a_first_step_that_takes_long_is_told(capsys):
  model = tg.FlowModel(small_flow(), seed=0)
  model.adapt(IMAGES)
  model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  model.fit(IMAGES[:8], batch_size=8, verbose=2)
  assert capsys.readouterr().out.startswith('Tracing the first step')
  for verbose in (2, 0):
    model.fit(IMAGES[:8], batch_size=8, verbose=verbose)
    assert 'Tracing' not in capsys.readouterr().out
