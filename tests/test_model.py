"""FlowModel: fit, evaluate, save, restore, refuse."""

import math
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg

SHAPE = (4, 4, 2)


def random_images(count=64, seed=0, shape=SHAPE):
  """Images with something to learn: dark, and the second channel follows."""
  generator = np.random.default_rng(seed)
  images = generator.integers(0, 120, (count, *shape), dtype=np.uint8)
  images[..., -1] = images[..., 0] // 2
  return images


def make_model(adapt=True, num_bits=8, preprocessing='centered', **kwargs):
  kwargs = {'levels': 2, 'steps': 1, 'width': 4, 'seed': 0, **kwargs}
  model_kwargs = {k: kwargs.pop(k) for k in ('weight_y',) if k in kwargs}
  flow = tg.Glow(SHAPE, **kwargs)
  for variable in flow.trainable_variables:
    if 'kernel' in variable.name:
      variable.assign_add(.05 * tf.random.stateless_normal(
          variable.shape, [1, 2], dtype=variable.dtype))
  model = tg.FlowModel(
      flow, num_bits=num_bits, preprocessing=preprocessing, seed=0,
      **model_kwargs)
  if adapt:
    model.adapt(random_images(), **conditions(model, 64))
  return model


def conditions(model, count, seed=0):
  """What `model` is told of `count` images; of three classes."""
  generator = np.random.default_rng(seed)
  values = {name: np.float32(generator.standard_normal((count, *shape)))
            for name, shape in model.flow.condition_shapes.items()}
  if 'label' in model.condition_names:
    values['label'] = np.arange(count, dtype=np.int32) % 3
  return values


@pytest.mark.parametrize('preprocessing', tg.model.PREPROCESSING)
@pytest.mark.parametrize('num_bits', [1, 5, 8])
def test_encode_and_decode_give_every_image_back(num_bits, preprocessing):
  model = make_model(num_bits=num_bits, preprocessing=preprocessing)
  images = np.random.default_rng(1).integers(
      0, 256, (300, *SHAPE), dtype=np.uint8)
  images[0], images[1] = 0, 255
  latents = model.encode(images)
  assert latents.shape == [300, 32]
  step = 2**(8 - num_bits)
  np.testing.assert_array_equal(
      model.decode(latents), images // step * step)


@pytest.mark.parametrize('preprocessing', tg.model.PREPROCESSING)
def test_log_prob_is_the_density_over_dequantised_images(preprocessing):
  model = make_model(num_bits=5, preprocessing=preprocessing)
  images = random_images(7)
  noise = model.pixels.fixed_noise()
  dequantised = images // 8 + noise
  if preprocessing == 'centered':
    y, log_det = dequantised / 32. - .5, -32. * math.log(32.)
  else:
    p = .05 + .9 * dequantised / 32.
    y = np.log(p) - np.log1p(-p)
    log_det = np.sum(
        np.log(.9 / 32.) - np.log(p) - np.log1p(-p), axis=(1, 2, 3))
  z, flow_log_det = model.flow.inverse_and_log_det(y.astype(np.float32))
  want = (-.5 * np.sum(np.square(z), -1) - 16. * math.log(2. * math.pi) +
          flow_log_det + log_det)
  np.testing.assert_allclose(model.log_prob(images), want, rtol=1e-5)
  np.testing.assert_allclose(
      model.distribution.log_prob(dequantised.astype(np.float32)), want,
      rtol=1e-5)
  np.testing.assert_allclose(
      model.bits_per_dim(images), -want / 32. / math.log(2.), rtol=1e-5)
  np.testing.assert_array_equal(
      model.log_prob(images), model.log_prob(images))


def test_fit_refuses_what_was_not_adapted_and_leaves_it_as_it_is():
  model = make_model(adapt=False)
  model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  before = [v.numpy() for v in model.flow.variables]
  with pytest.raises(RuntimeError, match=r'model\.adapt\(images\)'):
    model.fit(random_images(), verbose=0)
  for old, variable in zip(before, model.flow.variables):
    np.testing.assert_array_equal(variable, old)


def test_adapt_initialises_again_from_what_it_is_given():
  model = make_model()
  actnorm = model.flow.bijectors[1]
  first = actnorm.shift.numpy()
  model.adapt(random_images() + 100)
  assert np.abs(actnorm.shift - first).min() > .1
  model.adapt(random_images())
  np.testing.assert_array_equal(actnorm.shift, first)
  model.adapt(tf.data.Dataset.from_tensor_slices(random_images()).batch(10))
  np.testing.assert_array_equal(actnorm.shift, first)
  model.adapt(random_images(), max_images=8)
  assert np.abs(actnorm.shift - first).max() > 1e-4


@pytest.mark.parametrize('jit_compile', [
    False, pytest.param(True, marks=pytest.mark.slow)])
def test_fit_lowers_bits_per_dim_of_training_validation_and_evaluate(
    jit_compile):
  # What XLA compiles is the smaller one.
  model = make_model(levels=1 if jit_compile else 2)
  images, held_out = random_images(), random_images(32, seed=1)
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
  before = model.evaluate(held_out, verbose=0, return_dict=True)
  history = model.fit(
      images, batch_size=32, epochs=12, validation_data=held_out_data(held_out),
      verbose=0).history
  after = model.evaluate(held_out, verbose=0, return_dict=True)
  assert after['bits_per_dim'] < before['bits_per_dim'] - .2
  assert history['bits_per_dim'][-1] < history['bits_per_dim'][0] - .2
  assert history['val_bits_per_dim'][-1] == pytest.approx(
      after['bits_per_dim'], rel=1e-5)
  assert after['bits_per_dim'] == pytest.approx(
      np.mean(model.bits_per_dim(held_out)), rel=1e-5)


def held_out_data(images):
  return tf.data.Dataset.from_tensor_slices(images).batch(16)


@pytest.mark.slow
def test_fit_on_a_data_set_equals_fit_on_its_arrays():
  results = []
  for as_data_set in (False, True):
    model = make_model(levels=1)
    model.compile(keras.optimizers.SGD(1e-2), jit_compile=False)
    images = random_images()
    data = tf.data.Dataset.from_tensor_slices(images).batch(16)
    if as_data_set:
      model.fit(data, epochs=2, verbose=0)
    else:
      model.fit(images, batch_size=16, shuffle=False, epochs=2, verbose=0)
    results.append(model.log_prob(images))
  np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_dequantisation_is_fresh_in_training_and_fixed_elsewhere():
  model = make_model(num_bits=2)
  images = random_images(8)
  one, two = (model(images, training=True)['bits_per_dim'] for _ in range(2))
  assert np.abs(one - two).max() > 1e-3
  np.testing.assert_allclose(
      model(images)['bits_per_dim'], model.bits_per_dim(images), rtol=1e-5)
  # Noise stays inside a bin: brighter by less than a bin changes nothing.
  np.testing.assert_array_equal(
      model.log_prob(images // 64 * 64), model.log_prob(images))


def test_class_labels_reach_the_flow_in_every_method():
  model = make_model(levels=1, num_classes=3)
  images, labels = random_images(), np.arange(64) % 3
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  embedding = model.flow.top_prior.class_network.kernel
  before = embedding.numpy()
  model.fit(images, labels, batch_size=32, epochs=2, verbose=0,
            validation_data=(images, labels))
  assert np.abs(embedding - before).max() > 1e-4
  model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(32),
            verbose=0)
  embedding.assign_add(tf.random.normal(embedding.shape))
  log_prob = model.log_prob(images, labels)
  other = model.log_prob(images, (labels + 1) % 3)
  assert np.abs(log_prob - other).min() > 1e-3
  np.testing.assert_array_equal(
      model.decode(model.encode(images, labels), labels), images)
  one, two = (model.sample(5, label=c, seed=0) for c in (0, 1))
  assert np.any(one != two)
  assert model.sample(3, label=[0, 1, 2], seed=0).shape == [3, *SHAPE]


def test_feature_maps_reach_the_flow_through_fit():
  flow = tg.Glow(SHAPE, levels=1, steps=1, width=4, feature_map_channels=1,
                 seed=0)
  model = tg.FlowModel(flow, seed=0)
  images = random_images()
  feature_map = tf.constant(images[..., :1] / 255., tf.float32)
  data = tf.data.Dataset.from_tensor_slices(
      (images, {'feature_map': feature_map})).batch(32)
  model.adapt(data)
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  history = model.fit(data, epochs=20, verbose=0).history['bits_per_dim']
  assert history[-1] < history[0] - .2
  right = model.log_prob(images, feature_map=feature_map)
  wrong = model.log_prob(images, feature_map=1. - feature_map)
  assert np.mean(right) > np.mean(wrong)


def test_a_sample_depends_on_seed_and_temperature():
  model = make_model()
  one = model.sample(4, seed=1)
  assert one.dtype == tf.uint8 and one.shape == [4, *SHAPE]
  np.testing.assert_array_equal(one, model.sample(4, seed=1))
  assert np.any(one != model.sample(4, seed=2))
  assert np.any(model.sample(4) != model.sample(4))
  cold = model.sample(4, temperature=0., seed=1).numpy()
  assert (cold == cold[0]).all()
  mixed = model.sample(4, temperature=[1., 0., 1., 0.], seed=1)
  np.testing.assert_array_equal(mixed[0], one[0])
  np.testing.assert_array_equal(mixed[1], cold[0])


def test_each_level_has_its_own_temperature():
  model = make_model()
  latents = model.flow.split_latent(tf.random.stateless_normal(
      [3, 32], [1, 0]))
  want = model.decode(model.flow.join_latent([latents[0], .5 * latents[1]]))
  for temperature in ([[1., .5]], [[1., .5]] * 3):
    np.testing.assert_array_equal(
        model.sample(3, temperature, seed=1), want)
  one_cold = model.sample(3, [[1., .5], [0., 0.], [1., .5]], seed=1)
  np.testing.assert_array_equal(one_cold[::2], want[::2])
  np.testing.assert_array_equal(
      one_cold[1:2], model.sample(1, temperature=0.))


def test_keras_file_gives_back_a_working_model(tmp_path):
  model = make_model(levels=1, num_bits=5, num_classes=3, permutation='lu')
  images, labels = random_images(), np.arange(64) % 3
  model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  model.fit(images, labels, batch_size=32, verbose=0)
  path = os.path.join(tmp_path, 'model.keras')
  model.save(path)
  loaded = keras.models.load_model(path)
  np.testing.assert_array_equal(
      loaded.log_prob(images, labels), model.log_prob(images, labels))
  # It goes on as the saved one does, optimizer and noise included.
  for one in (model, loaded):
    one.fit(images, labels, batch_size=32, shuffle=False, verbose=0)
  np.testing.assert_allclose(
      loaded.log_prob(images, labels), model.log_prob(images, labels),
      rtol=1e-6)


@pytest.mark.slow
def test_weights_are_saved_and_restored(tmp_path):
  model = make_model()
  path = os.path.join(tmp_path, 'model.weights.h5')
  model.save_weights(path)
  other = make_model(adapt=False, permutation='conv1x1')
  assert not other.distribution.bijector.initialized
  other.load_weights(path)
  images = random_images(5)
  np.testing.assert_array_equal(other.log_prob(images), model.log_prob(images))
  # What was restored need not be initialised again.
  other.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  other.fit(random_images(), verbose=0)


def test_a_chain_of_ones_own_says_why_it_is_no_keras_file(tmp_path):
  tfb = tfp.bijectors
  flow = tg.Chain([tg.ActNorm(2), tfb.Reshape(SHAPE, (32,))])
  model = tg.FlowModel(flow, image_shape=SHAPE)
  with pytest.raises(TypeError, match='save_weights'):
    model.save(os.path.join(tmp_path, 'model.keras'))


def test_more_images_than_a_batch_are_taken_in_turn(monkeypatch):
  model = make_model(num_classes=3)
  images, labels = random_images(10), np.arange(10) % 3
  want = model.log_prob(images, labels)
  monkeypatch.setattr(tg.model.inference, '_BATCH_SIZE', 4)
  np.testing.assert_allclose(model.log_prob(images, labels), want, rtol=1e-6)
  assert model._log_prob.experimental_get_tracing_count() == 1


def test_mixed_precision_trains_in_bfloat16_and_else_computes_in_float32():
  images = random_images()
  plain = make_model(adapt=False, levels=1)
  keras.config.set_dtype_policy('mixed_bfloat16')
  try:
    mixed = make_model(adapt=False, levels=1)
  finally:
    keras.config.set_dtype_policy('float32')
  for model in (plain, mixed):
    model.adapt(images)
  network = mixed.flow.bijectors[3].conditioner
  assert network.compute_dtype == 'bfloat16'
  np.testing.assert_allclose(
      mixed.log_prob(images), plain.log_prob(images), rtol=1e-6)
  np.testing.assert_array_equal(mixed.decode(mixed.encode(images)), images)
  y = tf.constant(images / 256. - .5, tf.float32)
  in_training = mixed.flow.inverse(y, training=True)
  assert in_training.dtype == tf.float32
  error = np.abs(in_training - plain.flow.inverse(y)).max()
  assert 1e-5 < error < .5
  mixed.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  history = mixed.fit(images, batch_size=32, epochs=8, verbose=0).history
  assert history['loss'][-1] < history['loss'][0] - .1
  assert all(v.dtype == 'float32' for v in mixed.trainable_weights)


def make_other_system(name):
  if name == 'real_nvp':
    flow = tg.RealNVP(SHAPE, width=4, residual_blocks=1, seed=0)
    return tg.FlowModel(flow, preprocessing='logit', seed=0)
  flow = tg.NICE(32, couplings=2, hidden_layers=1, width=16, seed=0)
  return tg.FlowModel(flow, image_shape=SHAPE, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['real_nvp', 'nice'])
def test_the_other_systems_fit_save_and_serve(name, tmp_path):
  model = make_other_system(name)
  images = random_images()
  running = [v for v in model.flow.variables if 'running' in v.name]
  assert bool(running) == (name == 'real_nvp')
  start = [v.numpy() for v in running]
  model.adapt(images)
  model.compile(keras.optimizers.Adam(5e-3), jit_compile=False)
  before = model.evaluate(images, verbose=0, return_dict=True)
  np.testing.assert_array_equal(
      model.decode(model.encode(images)), images)
  for old, variable in zip(start, running):
    np.testing.assert_array_equal(variable, old)
  model.fit(images, batch_size=32, epochs=20, verbose=0)
  for old, variable in zip(start, running):
    assert np.abs(variable - old).max() > 0., variable.name
  after = model.evaluate(images, verbose=0, return_dict=True)
  assert after['bits_per_dim'] < before['bits_per_dim'] - .1
  np.testing.assert_array_equal(
      model.decode(model.encode(images)), images)
  path = os.path.join(tmp_path, 'model.keras')
  model.save(path)
  want = model.log_prob(images)
  np.testing.assert_array_equal(
      keras.models.load_model(path).log_prob(images), want)
  served = tf.saved_model.load(tg.export_saved_model(model, str(tmp_path)))
  got = served.signatures['log_prob'](images=tf.constant(images))['log_prob']
  np.testing.assert_allclose(got, want, rtol=1e-5)
  assert model.sample(2, temperature=.7, seed=0).shape == [2, *SHAPE]


def test_seeds_decide_the_weights():
  one, two, three = (tg.Glow(SHAPE, levels=1, steps=1, width=4, seed=s)
                     for s in (0, 0, 1))
  for a, b in zip(one.variables, two.variables):
    np.testing.assert_array_equal(a, b)
  assert any(np.any(a != b) for a, b in zip(one.variables, three.variables))
