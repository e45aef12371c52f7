"""Opens the source that a configuration names."""

from training.data import condition as condition_lib
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
  condition = condition_lib.parse(config.condition)
  own = condition if condition is not None and condition.is_own else None
  if own is not None and kind != own.source:
    raise ValueError(
        f'`condition` is {config.condition!r}, but `name` is {config.name!r}: '
        f'such maps go with {own.source}:PATH.')
  if kind in ('image_folder', 'npz'):
    if not path:
      raise ValueError(
          f'`name` is {config.name!r}, which needs a path: {kind}:PATH.')
    if kind == 'npz':
      return npz.Npz(path, has_maps=own is not None)
    return image_folder.ImageFolder(path, own and own.path)
  return tfds_source.open_tfds(
      config.name, config.data_dir, store.cache_dir(config), download)
