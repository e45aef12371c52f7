import numpy as np
import pytest

from training import data


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (30, 6, 4, 3), np.uint8)


def _evaluated(images):
  batch = next(images.eval_batches(100).as_numpy_iterator())
  return batch if isinstance(batch, tuple) else (batch, None)


@pytest.mark.parametrize('names', [
    ('train', 'train_labels', 'test', 'test_labels'),
    ('x_train', 'y_train', 'x_test', 'y_test')])
def test_train_and_test(config, save_images, images, names):
  labels = np.arange(30) % 3
  config.name = save_images(**dict(zip(
      names, (images[:20], labels[:20], images[20:], labels[20:, None]))))
  opened = data.open(config)
  assert (opened.num_train, opened.num_eval) == (20, 10)
  assert opened.class_names == ['0', '1', '2']
  evaluated = _evaluated(opened)
  np.testing.assert_array_equal(evaluated[0], images[20:])
  np.testing.assert_array_equal(evaluated[1], labels[20:])


@pytest.mark.parametrize('names', [
    ('images', 'labels'), ('train', 'train_labels'), ('x_train', 'y_train')])
def test_where_nothing_is_held_out_a_tenth_of_each_class_is(
    config, save_images, images, names):
  labels = np.repeat(np.arange(3), 10)
  config.name = save_images(**dict(zip(names, (images, labels))))
  opened = data.open(config)
  assert (opened.num_train, opened.num_eval) == (27, 3)
  held_out, labels = _evaluated(opened)
  assert labels.tolist() == [0, 1, 2]
  rows = [int(np.flatnonzero((images == image).all(axis=(1, 2, 3)))[0])
          for image in held_out]
  assert [row // 10 for row in rows] == [0, 1, 2]
  assert rows not in ([0, 10, 20], [9, 19, 29])
  trained_on, _ = opened.train_examples(27, 0)
  assert sorted(image.tobytes() for image in [*held_out, *trained_on]) == (
      sorted(image.tobytes() for image in images))
  np.testing.assert_array_equal(_evaluated(data.open(config))[0], held_out)


def test_16_bits_are_scaled_to_8(config, save_images, images):
  config.name = save_images(train=images.astype(np.uint16) * 257, test=images)
  opened = data.open(config)
  assert sorted(image.tobytes() for image in opened.train_examples(30, 0)) == (
      sorted(image.tobytes() for image in images))


def test_labels_that_are_no_numbers_of_classes_are_refused(
    config, save_images, images):
  for first, dtype in ((5_000_000, np.int64), (2**32, np.int64),
                       (2**63, np.uint64), (10**9, np.int32)):
    config.name = save_images(
        images=images, labels=np.arange(30, dtype=dtype) + dtype(first))
    with pytest.raises(ValueError, match='30 images: labels must number'):
      data.open(config)
  # Few images of many classes.
  config.name = save_images(images=images, labels=np.arange(30) % 3 + 900)
  assert data.open(config).num_classes == 903


def test_an_array_without_a_name_is_refused(config, tmp_path, images):
  np.save(tmp_path / 'images.npy', images)
  config.name = f'npz:{tmp_path}/images.npy'
  with pytest.raises(ValueError, match='one array without a name.*savez'):
    data.open(config)


def test_grey_images_need_no_channel(config, save_images, images):
  config.name = save_images(train=images[..., 0], test=images[..., 0])
  assert data.open(config).image_shape == (6, 4, 1)


@pytest.mark.parametrize('arrays, message', [
    ({'pictures': np.zeros((2, 4, 4, 3), np.uint8)},
     'has the arrays pictures; needed are'),
    ({'train': np.zeros((2, 4, 4, 3), np.float32)},
     '`train` .* is float32; it must be uint8'),
    ({'train': np.zeros((2, 4, 4, 0), np.uint8)},
     r'\[2, 4, 4, 0\]; it must be \[N, H, W, C\]'),
    ({'train': np.zeros((2, 3, 4, 4), np.uint8)},
     r'\[2, 3, 4, 4\], which looks like channels first.*moveaxis'),
    ({'train': np.zeros((2, 16), np.uint8)}, r'\[2, 16\]; it must be'),
    ({'train': np.zeros((0, 4, 4, 3), np.uint8),
      'test': np.zeros((2, 4, 4, 3), np.uint8)}, 'which is empty'),
    ({'images': np.zeros((1, 4, 4, 3), np.uint8)}, 'is empty'),
    ({'images': np.zeros((9, 4, 4, 3), np.uint8), 'labels': np.arange(8)},
     r'`labels` of .* is int64 \[8\]; it must be integers \[9\]'),
    ({'images': np.zeros((9, 4, 4, 3), np.uint8), 'labels': np.ones(9)},
     '`labels` of .* is float64'),
    ({'images': np.zeros((9, 4, 4, 3), np.uint8), 'labels': np.arange(9) - 1},
     'has the label -1'),
    ({'train': np.zeros((9, 4, 4, 3), np.uint8), 'train_labels': np.arange(9),
      'test': np.zeros((9, 4, 4, 3), np.uint8)},
     'labels of one split only: .* `train_labels` and `test_labels`'),
    ({'images': np.array([[1], [1, 2]], object)}, 'cannot be read'),
])
def test_what_is_wrong_is_named(config, save_images, arrays, message):
  config.name = save_images(**arrays)
  with pytest.raises(ValueError, match=message):
    data.open(config)


def test_a_file_has_to_be_there_and_whole(config, save_images, images,
                                          tmp_path):
  config.name = f'npz:{tmp_path}/nothing.npz'
  with pytest.raises(FileNotFoundError, match='there is no such file'):
    data.open(config)
  config.name = save_images(images=images)
  path = tmp_path / 'images.npz'
  whole = path.read_bytes()
  for damaged in (b'', b'text', whole[:len(whole) // 2]):
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match='cannot be read'):
      data.open(config)
  config.name = 'npz:'
  with pytest.raises(ValueError, match='npz:PATH'):
    data.open(config)
