"""The demo: every command from a shell, on the smallest of models."""

import json
import os

from PIL import Image
import pytest
import tensorflow as tf

from training import demo
from training import histogram
from training import metrics
from training.data import digits


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """Where an earlier demo has left something."""
  path = tmp_path_factory.mktemp('demo')
  (path / 'old').touch()
  return str(path)


@pytest.fixture(scope='module')
def summary(workdir):
  return demo.run(workdir, [
      '--config.model.levels=1', '--config.model.steps=1',
      '--config.model.width=8', '--config.steps=60', '--config.eval_every=60',
      '--config.checkpoint_every=30', '--config.optimizer.warmup_images=0'])


def test_figures_come_out_of_the_commands(summary, workdir):
  assert summary['images'] == 297
  assert summary['bits_per_dim'] < summary['bits_per_dim_before'] - .5
  assert summary['bits_per_dim'] == pytest.approx(
      metrics.read(workdir)[-1]['eval_bits_per_dim'], rel=1e-5)
  # Of the digits as they are, though training shifts them.
  (train, _), (held_out, _) = digits.load_data()
  assert summary['histogram_bits_per_dim'] == pytest.approx(
      histogram.bits_per_dim(train, held_out, 4).mean())
  assert 0. < summary['reconstruction_error'] < 1e-5
  assert summary['images_reconstructed_exactly'] == 297
  assert summary['export_difference'] < 1e-3
  assert summary['seconds'] > 0.
  json.dumps(summary)


def test_pictures_and_a_saved_model_are_left_and_nothing_old(summary, workdir):
  assert Image.open(f'{workdir}/samples.png').height == 9 * 52 + 4
  assert Image.open(f'{workdir}/interpolation.png').width > 11 * 52 + 4
  served = tf.saved_model.load(f'{workdir}/export/1')
  assert 'sample' in served.signatures
  assert not os.path.exists(f'{workdir}/old')
