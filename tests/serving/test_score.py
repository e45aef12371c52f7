"""The signature that says how unusual images are."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests import served
from tests import test_model
import tfp_glow as tg

TYPICALITY = tg.Typicality(mean=7.5, standard_deviation=.5)


@pytest.mark.parametrize('name', [
    pytest.param('glow_lu', marks=pytest.mark.slow), 'glow_classes'])
def test_it_gives_what_score_gives(name, tmp_path):
  model = served.make_model(name)
  path = tg.export_saved_model(
      model, str(tmp_path / 'model'), typicality=TYPICALITY)
  images = test_model.random_images(34, seed=5)
  label = {}
  if name == 'glow_classes':
    label = {'label': np.arange(34, dtype=np.int32) % served.NUM_CLASSES}
  signature = tf.saved_model.load(path).signatures['score']
  outputs = signature(images=tf.constant(images), **{
      name: tf.constant(value) for name, value in label.items()})
  bits = model.bits_per_dim(images, **label)
  assert set(outputs) == {'bits_per_dim', 'typicality'}
  np.testing.assert_allclose(outputs['bits_per_dim'], bits, rtol=1e-5)
  np.testing.assert_allclose(
      outputs['typicality'],
      tg.score(model, images, 'typicality', TYPICALITY, **label), atol=1e-4)
  assert outputs['typicality'].dtype == tf.float32
  with pytest.raises(tf.errors.InvalidArgumentError, match='images'):
    signature(images=tf.constant(images[:0]), **{
        name: tf.constant(value[:0]) for name, value in label.items()})
  requests = pathlib.Path(path) / 'assets.extra' / 'tf_serving_warmup_requests'
  assert b'score' in requests.read_bytes()


def test_without_typicality_there_is_none(tmp_path):
  model = served.make_model('nice')
  path = tg.export_saved_model(model, str(tmp_path))
  assert 'score' not in tf.saved_model.load(path).signatures
  with pytest.raises(TypeError, match='`typicality` is float, .*Typicality'):
    tg.export_saved_model(model, str(tmp_path), typicality=7.5)
  assert len(list(tmp_path.glob('[0-9]*'))) == 1
