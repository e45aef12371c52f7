import numpy as np
import pytest

from training import data


@pytest.fixture
def config(tmp_path):
  """The default fields, and a cache of the test's own."""
  fields = data.get_config()
  fields.cache_dir = str(tmp_path / 'cache')
  return fields


@pytest.fixture
def save_images(tmp_path):
  """Saves arrays as `npz:` and returns the name to open them by."""
  def save(**arrays):
    path = tmp_path / 'images.npz'
    np.savez(path, **arrays)
    return f'npz:{path}'
  return save


@pytest.fixture
def numbered(save_images):
  """53 images of 6x4, all pixels and the label of each its number."""
  numbers = np.arange(53)
  images = np.broadcast_to(numbers[:, None, None, None], (53, 6, 4, 3))
  return save_images(
      train=images.astype(np.uint8), train_labels=numbers,
      test=images[:10].astype(np.uint8), test_labels=numbers[:10])


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / 'images'
  path.mkdir()
  return path


@pytest.fixture
def open_folder(config, folder):
  def open_folder(**fields):
    config.update(name=f'image_folder:{folder}', **fields)
    return data.open(config)
  return open_folder
