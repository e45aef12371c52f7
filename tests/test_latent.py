"""Interpolation, attribute directions, and what each level holds."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg


# They are not trained, so that their graphs serve all tests.
@pytest.fixture(scope='module')
def model():
  return test_model.make_model()


@pytest.fixture(scope='module')
def class_model():
  return test_model.make_model(num_classes=3)


def test_interpolation_begins_and_ends_with_the_images(model):
  a, b = test_model.random_images(3), test_model.random_images(3, seed=1)
  images = tg.interpolate(model, a, b, 5)
  assert images.shape == [3, 5, *test_model.SHAPE]
  assert images.dtype == tf.uint8
  np.testing.assert_array_equal(images[:, 0], a)
  np.testing.assert_array_equal(images[:, -1], b)
  middle = model.decode((model.encode(a) + model.encode(b)) / 2.)
  assert np.mean(images[:, 2] == middle) > .98


def test_a_sphere_keeps_the_length_of_latents(model):
  a, b = test_model.random_images(3), test_model.random_images(3, seed=1)
  images = tg.interpolate(model, a, b, 5, method='spherical')
  np.testing.assert_array_equal(images[:, 0], a)
  np.testing.assert_array_equal(images[:, -1], b)
  start, end = model.encode(a).numpy(), model.encode(b).numpy()
  for row in range(3):
    cosine = start[row] @ end[row] / np.linalg.norm(
        start[row]) / np.linalg.norm(end[row])
    angle = np.arccos(cosine)
    latents = [(np.sin((1. - w) * angle) * start[row] +
                np.sin(w * angle) * end[row]) / np.sin(angle)
               for w in (0., .25, .5, .75, 1.)]
    same = images[row] == model.decode(np.stack(latents))
    assert np.mean(same) > .98
  # Unit vectors stay unit vectors; straight lines would cut the corner.
  unit = np.eye(32, dtype=np.float32)
  arc = tg.latent.spherical(unit[:1], unit[1:2], np.float32([[.3], [.5]]))
  np.testing.assert_allclose(np.linalg.norm(arc, axis=-1), 1., rtol=1e-6)
  np.testing.assert_allclose(arc[1, :2], np.sqrt(.5), rtol=1e-6)


@pytest.mark.parametrize('other', [1., 2., -1.])
def test_an_arc_of_no_angle_is_a_line(other):
  start = np.full([1, 4], 3., np.float32)
  middle = tg.latent.spherical(start, other * start, np.float32([[.5]]))
  np.testing.assert_allclose(middle, start * (1. + other) / 2., rtol=1e-5)


def test_a_manifold_goes_through_its_four_images(class_model):
  images = test_model.random_images(4)
  grid = tg.manifold(class_model, images, label=[1])
  assert grid.shape == [8, 8, *test_model.SHAPE]
  for image, (row, column) in zip(images, [(0, 0), (0, 2), (2, 0), (2, 2)]):
    assert np.mean(grid[row, column] == image) > .98
  latents = class_model.encode(images, [1] * 4).numpy()
  half = .5 * (latents[0] + latents[1] + latents[2] + latents[3])
  np.testing.assert_array_equal(
      grid[1, 1], class_model.decode(half[None], [1])[0])


@pytest.mark.parametrize('levels,resampled', [
    ([0], [0]), ([-1], [1]), ([1, -1], [1]), ([0, 1], [0, 1]), ([], [])])
def test_resampling_leaves_the_other_levels(
    model, levels, resampled, monkeypatch):
  images = test_model.random_images(3)
  decoded = []
  decode = model.decode

  def seen(latents, **conditions):
    decoded.append(latents)
    return decode(latents, **conditions)

  monkeypatch.setattr(model, 'decode', seen)
  got = tg.resample_levels(model, images, levels, temperature=.5, seed=3)
  before = model.flow.split_latent(model.encode(images))
  after = model.flow.split_latent(decoded[0])
  for level in range(2):
    if level in resampled:
      assert not np.any(after[level] == before[level])
      assert .3 < np.std(after[level]) < .7
      assert len(np.unique(after[level])) == np.size(after[level])
    else:
      np.testing.assert_array_equal(after[level], before[level])
  np.testing.assert_array_equal(
      got, tg.resample_levels(model, images, levels, temperature=.5, seed=3))
  if not levels:
    np.testing.assert_array_equal(got, images)
  else:
    other = tg.resample_levels(model, images, levels, temperature=.5)
    assert np.any(got != other)


def test_levels_can_be_read_once(model):
  images = test_model.random_images(3)
  want = tg.resample_levels(model, images, [0], seed=3)
  np.testing.assert_array_equal(
      tg.resample_levels(model, images, iter([0]), seed=3), want)


IMAGES = test_model.random_images(2)


@pytest.mark.parametrize('call, words', [
    (lambda m: tg.resample_levels(m, IMAGES, 0), ['`levels`', 'int']),
    (lambda m: tg.resample_levels(m, IMAGES, [True, False]),
     ['`levels`', 'True']),
    (lambda m: tg.resample_levels(m, IMAGES, [1.]), ['`levels`', '1.0']),
    (lambda m: tg.interpolate(m, IMAGES, IMAGES, 2.5), ['`num_steps`', '2.5']),
    (lambda m: tg.manifold(m, IMAGES, 2.5), ['`num_steps`', '2.5']),
    (lambda m: tg.manipulate(m, IMAGES, np.zeros(32), [0., np.nan]),
     ['`strengths`', 'finite', 'nan']),
    (lambda m: tg.manipulate(m, IMAGES, np.zeros(32), []),
     ['`strengths`', '(0,)']),
    (lambda m: tg.manipulate(m, IMAGES, np.zeros(32), ['a']),
     ['`strengths`', 'string']),
    (lambda m: tg.manipulate(m, IMAGES, np.full(32, np.inf), [1.]),
     ['`direction`', 'finite', 'inf']),
    (lambda m: tg.manipulate(m, IMAGES, 'smile', [1.]),
     ['`direction`', 'string']),
    (lambda m: tg.manipulate(m, IMAGES, None, [1.]), ['`direction`', 'None']),
    (lambda m: tg.attribute_direction(m, IMAGES, None),
     ['`negatives`', 'None']),
    (lambda m: tg.attribute_direction(m, IMAGES, IMAGES, batch_size=-1),
     ['`batch_size`', '-1']),
])
def test_arguments_that_are_none_are_named(model, call, words):
  with pytest.raises((TypeError, ValueError)) as caught:
    call(model)
  for word in words:
    assert word in str(caught.value)


def test_a_direction_is_the_difference_of_mean_latents(model):
  a, b = test_model.random_images(5), test_model.random_images(7, seed=1)
  want = (np.mean(model.encode(a), 0) - np.mean(model.encode(b), 0))
  for batches in (a, [a[:2], a[2:]], tf.data.Dataset.from_tensor_slices(
      a).batch(2)):
    direction = tg.attribute_direction(model, batches, b, batch_size=3)
    np.testing.assert_allclose(direction, want, atol=1e-5)


def test_a_direction_of_a_data_set_with_labels(class_model):
  a, b = test_model.random_images(6), test_model.random_images(4, seed=1)
  labels = np.array([0, 1, 2, 0, 1, 2])
  want = tg.attribute_direction(
      class_model, a, b, positive_conditions={'label': labels},
      negative_conditions={'label': labels[:4]})
  got = tg.attribute_direction(
      class_model, tf.data.Dataset.from_tensor_slices((a, labels)).batch(4),
      [(b, {'label': labels[:4]})])
  np.testing.assert_allclose(got, want, atol=1e-5)
  other = tg.attribute_direction(
      class_model, a, b, positive_conditions={'label': 2 - labels},
      negative_conditions={'label': labels[:4]})
  assert np.abs(other - want).max() > 1e-3


@pytest.mark.slow
def test_a_direction_is_found_without_keeping_the_images(model):
  images = test_model.random_images(256)
  alive = []

  def batches(count):
    for _ in range(count):
      gc.collect()
      # What came before has been let go, less the one batch in hand.
      assert sum(batch() is not None for batch in alive) <= 1
      batch = images.copy()
      alive.append(weakref.ref(batch))
      yield batch

  direction = tg.attribute_direction(model, batches(6), batches(2))
  np.testing.assert_allclose(direction, np.zeros(32), atol=1e-6)
  assert len(alive) == 8


def test_manipulation_moves_along_the_direction(class_model):
  images, labels = test_model.random_images(4), [0, 1, 2, 0]
  direction = tf.random.normal([32])
  moved = tg.manipulate(
      class_model, images, direction, [-1., 0., 1.], label=labels)
  assert moved.shape == [4, 3, *test_model.SHAPE]
  np.testing.assert_array_equal(moved[:, 1], images)
  want = class_model.decode(
      class_model.encode(images, labels) + direction, labels)
  np.testing.assert_array_equal(moved[:, 2], want)
  assert np.any(moved[:, 0] != moved[:, 2])
