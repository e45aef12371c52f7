"""Downloads a data set of TFDS and prepares it for training.

Run from the repository: `python -m training.prepare --name=cifar10 --download`.
"""

from absl import app
from absl import flags

from training import data
from training.data import sources

_NAME = flags.DEFINE_string(
    'name', None, 'The data set, with its configuration where it has several: '
    'cifar10, downsampled_imagenet/32x32, lsun/bedroom.', required=True)
_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'The folder for data sets; by default that of TFDS, '
    '$TFDS_DATA_DIR or ~/tensorflow_datasets.')
_DOWNLOAD = flags.DEFINE_bool(
    'download', False, 'Whether what is missing may be downloaded.')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown argument: {argv[1]}')
  config = data.get_config()
  config.name = _NAME.value
  config.data_dir = _DATA_DIR.value
  source = sources.open_source(config, _DOWNLOAD.value)
  sizes = ', '.join(f'{name} ({size:,})' for name, size in
                    source.splits.items())
  print(f'{source.name} is prepared, with the splits {sizes}.')


if __name__ == '__main__':
  app.run(main)
