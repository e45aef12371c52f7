"""Parts of a flow as Keras's layers."""

import keras
import numpy as np
import pytest

from tests import test_model
import tfp_glow as tg


@pytest.fixture(scope='module')
def model():
  flow = tg.Glow(test_model.SHAPE, levels=2, steps=3, width=4, num_classes=3,
                 classifier=True, seed=0)
  return tg.FlowModel(flow, weight_y=.1, seed=0)


def test_the_summary_has_every_level_and_kind(model):
  lines = []
  model.summary(print_fn=lines.append, line_length=100)
  text = '\n'.join(lines)
  for level in (0, 1):
    for kind in ('act_norm', 'invertible_conv', 'affine_coupling'):
      assert f'level_{level}_{kind}_x3' in text
  assert 'level_0_factor_out' in text and 'level_1_top_prior' in text
  assert '(None, 2, 2, 8)' in text and '(None, 1, 1, 16)' in text
  layers = model.layers
  assert [layer.name for layer in layers] == list(
      dict.fromkeys(layer.name for layer in layers))


def test_parts_have_every_variable_once(model):
  ids = [id(w.value) for layer in model.layers for w in layer.weights]
  assert len(ids) == len(set(ids))
  assert set(ids) == {id(v) for v in model.distribution.variables}
  own = [w.path for layer in model.layers for w in layer.weights
         if 'act_norm' in w.path]
  assert len(own) == len(set(own)) and own


def test_what_is_frozen_is_saved(model):
  name = 'level_0_factor_out'
  model.get_layer(name).trainable = False
  try:
    again = tg.FlowModel.from_config(model.get_config())
  finally:
    model.get_layer(name).trainable = True
  assert [layer.name for layer in again.layers if not layer.trainable] == [name]
  assert len(again.trainable_weights) < len(model.trainable_weights)


@pytest.mark.slow
def test_a_frozen_part_stays_as_it_is(model):
  images = test_model.random_images(32)
  labels = np.arange(32) % 3
  model.adapt(images, labels)
  part = model.get_layer('level_0_invertible_conv_x3')
  part.trainable = False
  try:
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    before = {layer.name: [w.numpy() for w in layer.weights]
              for layer in model.layers}
    model.fit(images, labels, verbose=0)
  finally:
    part.trainable = True
  for layer in model.layers:
    for old, weight in zip(before[layer.name], layer.weights):
      if layer is part:
        np.testing.assert_array_equal(old, weight)
      elif layer.name == 'level_0_act_norm_x3':
        assert np.any(old != weight)
