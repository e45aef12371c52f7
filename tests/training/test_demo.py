import json

from absl import app
import keras
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

import tfp_glow
from training import demo
from training.data import digits


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """What a short run leaves where an earlier run left results."""
  path = tmp_path_factory.mktemp('demo')
  (path / 'export' / '1').mkdir(parents=True)
  (path / 'export' / '1' / 'old').touch()
  (path / 'export' / '2').mkdir()
  (path / 'metrics.json').write_text('old')
  demo.run(path, epochs=2, batch_size=50, learning_rate=5e-3, steps=1,
           width=8, jit_compile=False, seed=0)
  return path


def test_metrics_are_written(workdir):
  metrics = json.loads((workdir / 'metrics.json').read_text())
  assert metrics['held_out_images'] == 297
  assert metrics['bits_per_dim_after'] < metrics['bits_per_dim_before'] - 0.5
  assert 2 < metrics['bits_per_dim_histogram'] < 2.5
  assert 0 < metrics['reconstruction_error'] < 1e-5
  assert metrics['images_reconstructed_exactly'] == 297
  assert metrics['export_difference'] < 1e-3
  assert metrics['seconds'] > 0


def test_pictures_are_drawn(workdir):
  samples = Image.open(workdir / 'samples.png')
  interpolation = Image.open(workdir / 'interpolation.png')
  assert samples.height == 9 * 52 + 4 and samples.width > 16 * 52 + 4
  assert interpolation.height == 10 * 52 + 4
  assert interpolation.width > 11 * 52 + 4


def test_weights_and_export_are_of_the_model_that_was_measured(workdir):
  metrics = json.loads((workdir / 'metrics.json').read_text())
  _, (images, _) = digits.load_data()
  flow = tfp_glow.Glow((8, 8, 1), levels=2, steps=1, width=8)
  model = tfp_glow.FlowModel(flow, num_bits=4)
  model.load_weights(workdir / 'model.weights.h5')
  bits = model.bits_per_dim(images)
  np.testing.assert_allclose(
      np.mean(bits), metrics['bits_per_dim_after'], rtol=1e-5)
  served = tf.saved_model.load(workdir / 'export' / '1')
  np.testing.assert_allclose(
      served.signatures['log_prob'](images=tf.constant(images))['bits_per_dim'],
      bits, rtol=1e-5)


def test_version_1_is_replaced_and_nothing_else(workdir):
  export = workdir / 'export'
  assert sorted(path.name for path in export.iterdir()) == ['1', '2']
  assert not (export / '1' / 'old').exists()


def test_reconstruction_tells_what_is_lost():
  class Lossy(tfp_glow.FlowBijector):

    def _inverse_and_log_det(self, y):
      return tf.reshape(y, [-1, 64]), 0.

    def _forward_and_log_det(self, x):
      x = tf.concat([x[:-1], x[-1:] + 1 / 16], axis=0)
      return tf.reshape(x, [-1, 8, 8, 1]), 0.

  flow = Lossy(forward_min_event_ndims=1)
  model = tfp_glow.FlowModel(flow, num_bits=4, image_shape=(8, 8, 1))
  images = np.full([3, 8, 8, 1], 96, np.uint8)
  error, exact = demo._reconstruction(model, images, seed=0)
  np.testing.assert_allclose(error, 1 / 16, rtol=1e-4)
  assert exact == 2


def test_a_digit_moves_by_a_pixel_at_most():
  image = np.zeros([8, 8, 1], np.uint8)
  image[:, 3] = 200
  columns = {int(np.argmax(demo._shifted_sideways(tf.constant(image))[0]))
             for _ in range(50)}
  assert columns == {2, 3, 4}


def test_the_rate_rises_and_falls():
  rate = demo._optimizer(1e-3, 100)._learning_rate
  values = [float(rate(step)) for step in range(101)]
  np.testing.assert_allclose(max(values), 1e-3, rtol=1e-5)
  assert np.argmax(values) == 10
  np.testing.assert_allclose([values[0], values[100]], 0, atol=1e-9)
  assert isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)


def test_an_argument_that_is_no_flag_is_refused():
  with pytest.raises(app.UsageError, match='surplus'):
    demo.main(['demo', 'surplus'])
