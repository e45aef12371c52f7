"""The demo: every command from a shell, on the smallest of models."""

import json
import os

from PIL import Image
import pytest
import tensorflow as tf

from training import data
from training import demo
from training import evaluation
from training import histogram
from training import metrics


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """Where an earlier demo has left something."""
  path = tmp_path_factory.mktemp('demo')
  (path / 'old').touch()
  return str(path)


@pytest.fixture(scope='module')
def summary(workdir):
  return demo.run(workdir, [
      '--config.data.name=faces/32x32_200', '--config.model.levels=1',
      '--config.model.steps=1', '--config.model.width=8', '--config.steps=60',
      '--config.eval_every=60', '--config.checkpoint_every=30',
      '--config.initial_images=100', '--config.optimizer.warmup_images=0'])


@pytest.mark.slow
def test_figures_come_out_of_the_commands(summary, workdir):
  assert summary['images'] == 20
  assert summary['bits_per_dim'] < summary['bits_per_dim_before'] - .3
  assert summary['bits_per_dim'] == pytest.approx(
      metrics.read(workdir)[-1]['eval_bits_per_dim'], rel=1e-5)
  config = data.get_config()
  config.name = 'faces/32x32_200'
  images = data.open(config)
  held_out, _ = evaluation.images_and_labels(images.eval_batches(20))
  assert summary['histogram_bits_per_dim'] == pytest.approx(
      histogram.bits_per_dim(
          images.train_examples(180, 0), held_out, 5).mean())
  assert 0. < summary['reconstruction_error'] < 1e-5
  assert summary['images_reconstructed_exactly'] == 20
  assert summary['export_difference'] < 1e-3
  assert summary['seconds'] > 0.
  json.dumps(summary)


@pytest.mark.slow
def test_pictures_and_a_saved_model_are_left_and_nothing_old(summary, workdir):
  assert Image.open(f'{workdir}/samples.png').height == 9 * 100 + 4
  assert Image.open(f'{workdir}/interpolation.png').width == 11 * 100 + 4
  attributes = Image.open(f'{workdir}/attributes.png')
  assert attributes.height == 3 * 100 + 4 + 32
  for name in ('levels', 'learning_curve'):
    assert Image.open(f'{workdir}/{name}.png').width > 500
  served = tf.saved_model.load(f'{workdir}/export/1')
  described = served.signatures['describe'](row=tf.zeros([1], tf.int32))
  assert described['attributes'].numpy().tolist() == [
      [b'smile', b'glasses', b'beard']]
  assert not os.path.exists(f'{workdir}/old')
