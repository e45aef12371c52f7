"""The check that inputs can be rebuilt from outputs."""

import warnings

import keras
import numpy as np
import pytest

import tfp_glow as tg

IMAGES = np.random.default_rng(0).integers(
    0, 256, (16, 8, 8, 2), dtype=np.uint8)


def model_of(flow, **conditions):
  model = tg.FlowModel(flow, seed=0)
  model.adapt(IMAGES, **conditions)
  model.compile(keras.optimizers.SGD(0.))
  return model


def glow(**kwargs):
  return tg.Glow((8, 8, 2), levels=2, steps=1, width=4, seed=0, **kwargs)


@pytest.mark.parametrize('memory', [
    pytest.param('store', marks=pytest.mark.slow), 'recompute'])
def test_a_healthy_flow_gives_no_warning(memory):
  model = model_of(glow(memory=memory))
  check = tg.ReconstructionCheck(IMAGES[:4], every=2)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    model.fit(IMAGES, batch_size=4, verbose=0, callbacks=[check])
  assert [step for step, _ in check.history] == [2, 4]
  assert all(0. <= error < 1e-4 for _, error in check.history)


def test_a_nearly_singular_layer_gives_a_warning():
  flow = glow(num_classes=3)
  labels = np.arange(16) % 3
  model = model_of(flow, label=labels)
  conv = flow.bijectors[2]
  u, s, v = np.linalg.svd(conv.kernel)
  s[-1] = 1e-7
  conv.kernel.assign(u * s @ v)
  check = tg.ReconstructionCheck(IMAGES, every=1, label=labels)
  with pytest.warns(UserWarning, match='At step 1 .* nearly singular'):
    model.fit(IMAGES, labels, batch_size=16, verbose=0, callbacks=[check])
  assert check.history[0][1] > 1e-3


@pytest.mark.parametrize('scale', [
    'sigmoid', pytest.param('bounded', marks=pytest.mark.slow)])
def test_noise_that_cannot_be_rebuilt_gives_a_warning(scale):
  grey = (120 + IMAGES % 16).astype(np.uint8)
  flow = tg.Glow((8, 8, 2), levels=1, steps=2, width=8, scale=scale, seed=0)
  model = tg.FlowModel(flow, seed=0)
  model.adapt(grey)
  model.compile(keras.optimizers.SGD(0.))
  rng = np.random.default_rng(1)
  for coupling in flow.bijectors[3:7:3]:
    # The last convolution's: scales are of order 1 for the images alone.
    *_, kernel = [v for v in coupling.conditioner.trainable_variables
                  if len(v.shape) == 4]
    kernel.assign(.3 * rng.standard_normal(kernel.shape))
  check = tg.ReconstructionCheck(grey[:4], every=1)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    model.fit(grey, batch_size=16, verbose=0, callbacks=[check])
  told = [str(warning.message) for warning in caught
          if 'uniform noise' in str(warning.message)]
  (step, error), = check.history
  (noise_step, noise_error), = check.noise_history
  assert step == noise_step == 1 and error < 1e-5
  if scale == 'bounded':
    assert not told and noise_error < 1e-4
  else:
    assert len(told) == 1 and "`scale='bounded'` help" in told[0]
    assert not noise_error < 1e-3


def test_the_distance_between_checks_is_positive():
  for every in (0, 2.5, 'often'):
    with pytest.raises(ValueError, match='`every` must be a positive'):
      tg.ReconstructionCheck(IMAGES, every=every)
  for tolerance in (0., np.nan):
    with pytest.raises(ValueError, match='`tolerance` must be positive'):
      tg.ReconstructionCheck(IMAGES, tolerance=tolerance)


def test_its_images_and_conditions_are_checked():
  model = model_of(glow(num_classes=3), label=np.arange(16) % 3)
  for images, label, word in ((IMAGES / 255., 0, '`images` has dtype'),
                              (IMAGES, 3, '`label` must be in 0')):
    check = tg.ReconstructionCheck(images, label=np.full(16, label))
    with pytest.raises((TypeError, ValueError), match=word):
      check.set_model(model)
