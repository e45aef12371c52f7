"""`memory='recompute'` in models: fit, precision, files and presets."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from tfp_glow.execution import plan

IMAGES = np.random.default_rng(0).integers(
    0, 256, (16, 8, 8, 2), dtype=np.uint8)


def fitted(make, jit_compile=False, **kwargs):
  """A model and its loss after each of two epochs of two steps."""
  model = tg.FlowModel(make(**kwargs), seed=0)
  model.adapt(IMAGES)
  model.compile(keras.optimizers.SGD(.03), jit_compile=jit_compile)
  history = model.fit(
      IMAGES, batch_size=8, epochs=2, shuffle=False, verbose=0)
  return model, history.history['bits_per_dim']


def glow(**kwargs):
  return tg.Glow((8, 8, 2), levels=1, steps=2, width=8, seed=0, **kwargs)


def batch_normalised(**kwargs):
  """Couplings on checkerboards with batch normalisation, as RealNVP's."""
  layers = []
  for kept in ('even', 'odd'):
    mask = tg.Checkerboard(kept)
    network = tg.networks.ResidualNetwork(
        4, width=3, residual_blocks=1, checkerboard=kept, seed=0)
    network.build((None, 8, 8, 2))
    layers += [tg.AffineCoupling(network, mask, scale='tanh',
                                 initial_rescale=.5),
               tg.BatchNorm(2, mask)]
  layers.append(tfp.bijectors.Reshape(
      event_shape_out=(8, 8, 2), event_shape_in=(128,)))
  flow = tg.Chain(layers, **kwargs)
  flow.image_shape = (8, 8, 2)
  return flow


@functools.cache
def stored_losses(make):
  return fitted(make)[1]


@pytest.mark.parametrize('make,jit_compile', [
    (glow, False),
    pytest.param(batch_normalised, False, marks=pytest.mark.slow),
    pytest.param(glow, True, marks=pytest.mark.slow)])
def test_fit_learns_the_same(make, jit_compile):
  stored = stored_losses(make)
  model, rebuilt = fitted(make, jit_compile, memory='recompute')
  assert stored[1] < stored[0]
  np.testing.assert_allclose(rebuilt, stored, rtol=1e-4)
  assert model.skipped_steps == 0


def test_fit_learns_the_same_in_mixed_precision(monkeypatch):
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1)
  keras.config.set_dtype_policy('mixed_bfloat16')
  try:
    _, stored = fitted(glow)
    model, rebuilt = fitted(glow, memory='recompute')
  finally:
    keras.config.set_dtype_policy('float32')
  assert model.flow.bijectors[3].conditioner.compute_dtype == 'bfloat16'
  np.testing.assert_allclose(rebuilt, stored, rtol=1e-3)


def test_memory_is_kept_in_files_and_presets(tmp_path):
  model = tg.FlowModel(glow(memory='recompute'), seed=0)
  model.adapt(IMAGES)
  model.save(tmp_path / 'model.keras')
  loaded = keras.saving.load_model(tmp_path / 'model.keras')
  assert loaded.flow.memory == 'recompute'
  np.testing.assert_allclose(
      loaded.log_prob(IMAGES), model.log_prob(IMAGES), rtol=1e-6)
  # What is stored in files does not depend on it.
  other = tg.FlowModel(glow())
  model.save_weights(tmp_path / 'model.weights.h5')
  other.load_weights(tmp_path / 'model.weights.h5')
  np.testing.assert_allclose(
      other.log_prob(IMAGES), model.log_prob(IMAGES), rtol=1e-6)
  preset = tg.presets.get('real_nvp_cifar10')
  assert preset.build(seed=0).memory == 'store'


def test_replicas_learn_the_same(monkeypatch):
  monkeypatch.setattr(plan, 'MOST_UNROLLED', 1)
  devices = [d.name for d in tf.config.list_logical_devices('CPU')]
  with tf.distribute.MirroredStrategy(devices[:1]).scope():
    _, rebuilt = fitted(glow, memory='recompute')
  np.testing.assert_allclose(rebuilt, stored_losses(glow), rtol=1e-4)


def test_names_of_variables_do_not_grow_with_depth():
  # TensorFlow keeps a kernel for each name, for as long as it runs.
  one, three = (len({v.name for v in tg.Glow(
      (8, 8, 2), levels=2, steps=k, width=3).variables}) for k in (1, 3))
  assert one == three
