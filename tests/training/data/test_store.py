import concurrent.futures
import logging
import pathlib
import resource

import numpy as np
import pytest

from training import data


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (30, 6, 4, 3), np.uint8)


@pytest.fixture
def prepared(config):
  return pathlib.Path(config.cache_dir) / 'prepared'


def _evaluated(config):
  return next(data.open(config).eval_batches(100).as_numpy_iterator())


def test_images_are_prepared_once(config, save_images, images, prepared):
  config.name = save_images(images=images)
  first = _evaluated(config)
  folders = sorted(prepared.iterdir())
  times = [folder.stat().st_mtime_ns for folder in folders]
  assert len(folders) == 2
  config.update(flip=True, shift=.1)
  np.testing.assert_array_equal(_evaluated(config), first)
  assert sorted(prepared.iterdir()) == folders
  assert [folder.stat().st_mtime_ns for folder in folders] == times


@pytest.mark.parametrize('fields, shape', [
    ({'channels': 1}, (6, 4, 1)), ({'crop': 2}, (2, 2, 3)),
    ({'image_size': 3}, (3, 3, 3)), ({'pad': 1}, (8, 6, 3)),
    ({'crop': 'random', 'image_size': 2, 'shorter_side': 3}, (2, 2, 3))])
def test_other_fields_prepare_other_images(
    config, save_images, images, fields, shape):
  config.name = save_images(images=images)
  assert _evaluated(config).shape[1:] == (6, 4, 3)
  config.update(fields)
  assert _evaluated(config).shape[1:] == shape


def test_another_content_prepares_other_images(config, save_images, images):
  config.name = save_images(images=images)
  before = _evaluated(config)
  save_images(images=images[::-1])
  assert np.any(before != _evaluated(config))


@pytest.mark.parametrize('name', ['images.bin', 'index.npz', 'sizes.json'])
@pytest.mark.parametrize('damage', ['cut', 'gone'])
def test_what_is_damaged_is_prepared_again(
    config, save_images, images, prepared, caplog, name, damage):
  config.name = save_images(images=images)
  before = _evaluated(config)
  for folder in prepared.iterdir():
    if damage == 'gone':
      (folder / name).unlink()
    else:
      whole = (folder / name).read_bytes()
      (folder / name).write_bytes(whole[:-1])
  with caplog.at_level(logging.WARNING, 'absl'):
    np.testing.assert_array_equal(_evaluated(config), before)
  assert 'is damaged' in caplog.text


def test_a_full_disk_leaves_nothing_behind(
    config, save_images, images, prepared):
  config.name = save_images(images=images)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
  try:
    with pytest.raises(OSError) as error:
      data.open(config)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert '`cache_dir` puts them elsewhere' in error.value.__notes__[0]
  assert not list(prepared.iterdir())
  assert len(_evaluated(config)) == 3


def test_two_may_prepare_the_same_at_once(
    config, save_images, images, prepared):
  config.name = save_images(images=images)
  with concurrent.futures.ThreadPoolExecutor(8) as executor:
    batches = list(executor.map(_evaluated, [config] * 8))
  for batch in batches:
    np.testing.assert_array_equal(batch, _evaluated(config))
  assert len(list(prepared.iterdir())) == 2


def test_the_cache_is_where_the_environment_says(
    config, save_images, images, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
  config.update(name=save_images(images=images), cache_dir=None)
  data.open(config)
  assert len(list((tmp_path / 'xdg' / 'tfp_glow' / 'prepared').iterdir())) == 2
