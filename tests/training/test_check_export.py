import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from training import check_export


@pytest.fixture(scope='module')
def export(tmp_path_factory):
  """A SavedModel whose log-probability is minus the sum of the pixels."""

  class Module(tf.Module):

    @tf.function(input_signature=[
        tf.TensorSpec([None, 2, 2, 1], tf.uint8, 'images')])
    def log_prob(self, images):
      return {'log_prob': -tf.reduce_sum(
          tf.cast(images, tf.float32), axis=(1, 2, 3))}

  module = Module()
  path = tmp_path_factory.mktemp('export') / '1'
  tf.saved_model.save(module, path, signatures={'log_prob': module.log_prob})
  return path


@pytest.fixture(autouse=True)
def loaded_again(monkeypatch):
  """Brings tfp_glow back after each test."""
  monkeypatch.setitem(sys.modules, 'tfp_glow', tfp_glow)


def _main(export, folder, error):
  images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
  log_prob = -images.sum(axis=(1, 2, 3), dtype=np.float32)
  log_prob[1] += error
  np.savez(folder / 'expected.npz', images=images, log_prob=log_prob)
  check_export.main([str(export), str(folder / 'expected.npz')])


def test_the_largest_difference_is_told(export, tmp_path, capsys):
  _main(export, tmp_path, error=1e-4)
  np.testing.assert_allclose(float(capsys.readouterr().out), 1e-4, rtol=0.1)


@pytest.mark.parametrize('error', [-0.01, np.nan])
def test_another_log_probability_is_an_error(export, tmp_path, error):
  with pytest.raises(SystemExit, match='gives other log-probabilities'):
    _main(export, tmp_path, error)


def test_the_library_cannot_be_imported(export, tmp_path):
  _main(export, tmp_path, error=0)
  with pytest.raises(ImportError, match='tfp_glow'):
    importlib.import_module('tfp_glow')
