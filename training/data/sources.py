"""Opens the source that a configuration names."""

from training.data import image_folder
from training.data import npz
from training.data import store
from training.data import tfds_source


def open_source(config, download=False):
  """Opens the images that `config.name` stands for, as they are stored.

  Args:
    config: The fields of `get_config`.
    download: Python `bool`, whether what is missing may be downloaded.
      Default value: `False`.

  Returns:
    source: `source.Source`.

  Raises:
    ConnectionError: If it has to be downloaded and cannot be.
    FileNotFoundError: If it is not there, and must not be downloaded.
    ValueError: If the name stands for nothing, or for no images.
  """
  kind, colon, path = config.name.partition(':')
  if kind in ('image_folder', 'npz'):
    if not path:
      raise ValueError(
          f'`name` is {config.name!r}, which needs a path: {kind}:PATH.')
    return image_folder.ImageFolder(path) if kind == 'image_folder' else (
        npz.Npz(path))
  return tfds_source.open_tfds(
      config.name, config.data_dir, store.cache_dir(config), download)
