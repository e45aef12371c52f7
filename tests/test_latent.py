"""Interpolation and attribute directions."""

import numpy as np
import tensorflow as tf

from tests import test_model
import tfp_glow as tg


def test_interpolation_begins_and_ends_with_the_images():
  model = test_model.make_model()
  a, b = test_model.random_images(3), test_model.random_images(3, seed=1)
  images = tg.interpolate(model, a, b, 5)
  assert images.shape == [3, 5, *test_model.SHAPE]
  assert images.dtype == tf.uint8
  np.testing.assert_array_equal(images[:, 0], a)
  np.testing.assert_array_equal(images[:, -1], b)
  middle = model.decode((model.encode(a) + model.encode(b)) / 2.)
  assert np.mean(images[:, 2] == middle) > .98


def test_a_direction_is_the_difference_of_mean_latents():
  model = test_model.make_model()
  a, b = test_model.random_images(5), test_model.random_images(7, seed=1)
  want = (np.mean(model.encode(a), 0) - np.mean(model.encode(b), 0))
  for batches in (a, [a[:2], a[2:]], tf.data.Dataset.from_tensor_slices(
      a).batch(2)):
    direction = tg.attribute_direction(model, batches, b, batch_size=3)
    np.testing.assert_allclose(direction, want, atol=1e-5)


def test_manipulation_moves_along_the_direction():
  model = test_model.make_model(num_classes=3)
  images, labels = test_model.random_images(4), [0, 1, 2, 0]
  direction = tf.random.normal([32])
  moved = tg.manipulate(model, images, direction, [-1., 0., 1.], label=labels)
  assert moved.shape == [4, 3, *test_model.SHAPE]
  np.testing.assert_array_equal(moved[:, 1], images)
  want = model.decode(model.encode(images, labels) + direction, labels)
  np.testing.assert_array_equal(moved[:, 2], want)
  assert np.any(moved[:, 0] != moved[:, 2])
