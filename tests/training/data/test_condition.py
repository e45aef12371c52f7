"""Maps that a model is told of images: made of them, or one's own."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.training.data import files
from training import data
from training.data import condition as condition_lib

CONDITIONS = ['downsample:2', 'grey', 'mask:3', 'feature_map']


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (23, 8, 6, 3), np.uint8)


@pytest.fixture
def told(save_images, images):
  """Images, labels, and maps whose values are those of the images."""
  labels = np.arange(23) % 2
  return save_images(
      train=images, train_labels=labels, train_feature_map=images[..., :2],
      test=images[:9], test_labels=labels[:9],
      test_feature_map=images[:9, ..., :2])


def _maps(images, down=0., right=0., condition='mask:3'):
  count = len(images)
  return condition_lib.parse(condition).maps(
      tf.constant(images), tf.fill([count], down), tf.fill([count], right))


def _take(batches, count):
  return list(itertools.islice(batches.as_numpy_iterator(), count))


def test_downsampling_gives_means_at_the_size_of_the_image(images):
  maps = _maps(images, condition='downsample:2')
  assert maps.shape == images.shape
  means = images.reshape(23, 4, 2, 3, 2, 3).mean(axis=(2, 4))
  blocks = np.reshape((maps + .5) * 255., (23, 4, 2, 3, 2, 3))
  np.testing.assert_allclose(blocks, np.round(
      means)[:, :, None, :, None] + 0. * blocks, atol=1e-3)


def test_grey_is_the_luma(images):
  maps = _maps(images, condition='grey')
  np.testing.assert_allclose(
      (maps[..., 0] + .5) * 255.,
      np.floor(np.float64(images) @ [.299, .587, .114] + .5 + 1e-9), atol=1e-3)


@pytest.mark.parametrize('down, right, rows, columns', [
    (0., 0., slice(0, 3), slice(0, 3)),
    (.999, .999, slice(5, 8), slice(3, 6)),
    (.5, .5, slice(3, 6), slice(2, 5))])
def test_a_mask_hides_a_square_and_says_where(
    images, down, right, rows, columns):
  maps = _maps(images, down, right).numpy()
  want = images / np.float32(255.) - np.float32(.5)
  want[:, rows, columns] = 0.
  np.testing.assert_allclose(maps[..., :3], want, atol=1e-6)
  hidden = np.full((8, 6), -.5)
  hidden[rows, columns] = .5
  np.testing.assert_array_equal(maps[..., 3], hidden + np.zeros((23, 8, 6)))


def test_values_of_16_bits_are_on_the_same_scale(images):
  deep = images.astype(np.uint16) * 257
  for condition in ('downsample:2', 'grey', 'mask:3'):
    np.testing.assert_allclose(
        _maps(deep, condition=condition), _maps(images, condition=condition),
        atol=.5 / 255. if condition != 'mask:3' else 1e-6)


@pytest.mark.parametrize('condition', ['downsample:2', 'grey', 'mask:3'])
def test_the_error_of_an_image_against_its_own_maps_is_zero(images, condition):
  parsed = condition_lib.parse(condition)
  maps = _maps(images, .3, .7, condition)
  np.testing.assert_allclose(
      parsed.squared_error(tf.constant(images), maps), 0., atol=1e-9)
  brighter = images // 2 + 20
  difference = np.float64(images) - brighter
  if condition == 'mask:3':
    difference = difference[np.broadcast_to(
        maps.numpy()[..., 3:] < 0., images.shape)].reshape(23, -1)
    np.testing.assert_allclose(
        parsed.squared_error(tf.constant(brighter), maps),
        np.mean((difference / 255.)**2, axis=1), rtol=1e-4)
  else:
    assert np.min(parsed.squared_error(tf.constant(brighter), maps)) > 1e-3


@pytest.mark.parametrize('condition', CONDITIONS)
@pytest.mark.parametrize('fields', [
    {}, {'flip': True, 'shift': (1, 1)}, {'crop': 'random', 'image_size': 4}],
                         ids=['plain', 'moved', 'cropped'])
def test_batches_have_the_maps_of_their_images(config, told, condition, fields):
  config.update(name=told, condition=condition, **fields)
  opened = data.open(config)
  assert opened.image_shape == ((4, 4, 3) if 'crop' in fields else (8, 6, 3))
  channels = {
      'downsample:2': 3, 'grey': 1, 'mask:3': 4, 'feature_map': 2}[condition]
  assert opened.feature_map_channels == channels
  for batches in (opened.train_batches(7, seed=0), opened.eval_batches(7)):
    images, known = next(batches.as_numpy_iterator())
    maps = known['feature_map']
    assert maps.dtype == np.float32
    assert maps.shape == (*images.shape[:3], channels)
    assert set(known) == {'feature_map', 'label'}
    if condition == 'feature_map':  # moved and cut as the images are
      want = images[..., :2] / np.float32(255.) - np.float32(.5)
      np.testing.assert_allclose(maps, want, atol=1e-6)
    else:
      error = opened.condition.squared_error(tf.constant(images), maps)
      np.testing.assert_allclose(error, 0., atol=1e-9)


def test_what_is_hidden_differs_and_a_stream_can_be_entered_anywhere(
    config, told):
  config.update(name=told, condition='mask:3')
  opened = data.open(config)
  whole = _take(opened.train_batches(5, seed=3), 9)
  entered = _take(opened.train_batches(5, seed=3, start_step=6), 3)
  for one, other in zip(whole[6:], entered):
    tf.nest.map_structure(np.testing.assert_array_equal, one, other)
  places = {known['feature_map'][row, ..., 3].tobytes()
            for _, known in whole for row in range(5)}
  assert len(places) > 15  # of 6 x 4
  evaluated, again = (_take(opened.eval_batches(9), 1)[0] for _ in range(2))
  tf.nest.map_structure(np.testing.assert_array_equal, evaluated, again)
  some, known = _take(opened.eval_batches(9, 4), 1)[0]
  rows = [int(np.flatnonzero((evaluated[0] == image).all(axis=(1, 2, 3)))[0])
          for image in some]
  np.testing.assert_array_equal(
      known['feature_map'], evaluated[1]['feature_map'][rows])


def test_without_labels_there_are_maps_alone(config, save_images, images):
  config.update(name=save_images(images=images), condition='grey')
  opened = data.open(config)
  assert opened.num_eval == 3
  _, known = next(iter(opened.eval_batches(3)))
  assert set(known) == {'feature_map'}
  _, known = opened.train_examples(20, 0)
  assert known['feature_map'].shape == (20, 8, 6, 1)


def test_maps_are_held_out_with_their_images(config, save_images, images):
  config.update(condition='feature_map', name=save_images(
      images=images, images_feature_map=images[..., 0]))
  for batch in (data.open(config).train_examples(20, 0),
                next(iter(data.open(config).eval_batches(3)))):
    pixels, known = batch
    np.testing.assert_allclose(
        known['feature_map'][..., 0], pixels[..., 0] / np.float32(255.) - .5,
        atol=1e-6)


def test_a_folder_of_maps_goes_by_names(config, open_folder, folder, tmp_path):
  maps = tmp_path / 'maps'
  for number in range(12):
    for root, suffix, value in ((folder, 'png', number),
                                (maps, 'bmp', 3 * number)):
      files.save(root / 'a' / f'{number}.{suffix}',
                 np.full((4, 6, 3), value, np.uint8))
  condition = f'image_folder:{maps}'
  opened = open_folder(condition=condition, image_size=(4, 4))
  assert (opened.image_shape, opened.feature_map_channels) == ((4, 4, 3), 3)
  pixels, known = opened.train_examples(10, 0)
  np.testing.assert_allclose(
      (known['feature_map'] + .5) * 255., 3. * pixels, atol=1e-4)
  assert set(known) == {'feature_map', 'label'}
  # Other maps are other data.
  files.save(maps / 'a' / '3.bmp', np.full((4, 6, 3), 200, np.uint8))
  _, known = open_folder(condition=condition).train_examples(10, 0)
  _, held_out = next(iter(open_folder(condition=condition).eval_batches(2)))
  assert max(np.max(known['feature_map']), np.max(
      held_out['feature_map'])) == pytest.approx(200. / 255. - .5)
  # One of another size is left out with its image.
  files.save(maps / 'a' / '3.bmp', np.full((5, 6, 3), 200, np.uint8))
  opened = open_folder(condition=condition)
  assert opened.num_train + opened.num_eval == 11
  assert '1 could not be read' in opened.description
  files.save(maps / 'a' / '4.png')
  with pytest.raises(ValueError, match='1 of 12 images have more than one map '
                                       'of their name: a/4.png'):
    open_folder(condition=condition)
  (maps / 'a' / '4.png').unlink()
  (maps / 'a' / '4.bmp').unlink()
  with pytest.raises(ValueError, match='1 of 12 images have no map of their '
                                       'name: a/4.png'):
    open_folder(condition=condition)
  with pytest.raises(FileNotFoundError, match='`condition` is image_folder:'):
    open_folder(condition='image_folder:/nowhere')


@pytest.mark.parametrize('condition, message', [
    ('small', "`condition` is 'small'; it must be 'downsample:4', 'grey'"),
    ('downsample:1', 'it must be'), ('downsample', 'it must be'),
    ('mask:0', 'it must be'), ('mask:x', 'it must be'), ('grey:2', 'it must'),
    ('image_folder:', 'it must be'),
    ('downsample:4', 'sides that are multiples of 4, but images are 8x6x3'),
    ('mask:7', "'mask:7', but images are 8x6x3: the square must fit"),
    ('image_folder:maps', "`name` is 'npz:.*such maps go with image_folder:"),
    ('feature_map', 'has no `images_feature_map` beside `images`'),
])
def test_conditions_that_do_not_fit_are_refused(
    config, save_images, images, condition, message):
  config.update(name=save_images(images=images), condition=condition)
  with pytest.raises(ValueError, match=message):
    data.open(config)


def test_grey_images_have_no_grey_condition(config, save_images, images):
  config.update(name=save_images(images=images[..., 0]), condition='grey')
  with pytest.raises(ValueError, match='3 channels, but these are 8x6x1'):
    data.open(config)


@pytest.mark.parametrize('maps, message', [
    (np.zeros((23, 8, 6, 1), np.float32), 'is float32; it must be uint8 or'),
    (np.zeros((22, 8, 6, 1), np.uint8), r'\[22, 8, 6, 1\]; needed is '),
    (np.zeros((23, 4, 3, 1), np.uint8), r'\[23, 4, 3, 1\]; needed is '),
    (np.zeros((23, 8, 6, 0), np.uint8), 'needed is ')])
def test_maps_that_do_not_fit_are_refused(
    config, save_images, images, maps, message):
  config.update(condition='feature_map', name=save_images(
      images=images, images_feature_map=maps))
  with pytest.raises(ValueError, match=f'`images_feature_map` of .*{message}'):
    data.open(config)


def test_maps_of_splits_have_as_many_channels(config, save_images, images):
  config.update(condition='feature_map', name=save_images(
      train=images, train_feature_map=images, test=images,
      test_feature_map=images[..., 0]))
  with pytest.raises(ValueError, match='1 channels in one split and 3 in anot'):
    data.open(config)
