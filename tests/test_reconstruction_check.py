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


@pytest.mark.parametrize('memory', ['store', 'recompute'])
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


def test_the_distance_between_checks_is_positive():
  with pytest.raises(ValueError, match='`every` must be a positive'):
    tg.ReconstructionCheck(IMAGES, every=0)


def test_its_images_and_conditions_are_checked():
  model = model_of(glow(num_classes=3), label=np.arange(16) % 3)
  for images, label, word in ((IMAGES / 255., 0, '`images` has dtype'),
                              (IMAGES, 3, '`label` must be in 0')):
    check = tg.ReconstructionCheck(images, label=np.full(16, label))
    with pytest.raises((TypeError, ValueError), match=word):
      check.set_model(model)
