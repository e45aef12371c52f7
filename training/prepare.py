"""Downloads a data set of TFDS and prepares it for training.

Run from the repository: `python -m training.prepare --name=cifar10 --download`.
"""

from absl import flags

from training import command
from training import data
from training.data import sources


def define_flags():
  flags.DEFINE_string(
      'name', None, 'The data set, with its configuration where it has '
      'several: cifar10, downsampled_imagenet/32x32, lsun/bedroom.',
      required=True)
  flags.DEFINE_string(
      'data_dir', None, 'The folder for data sets; by default that of TFDS, '
      '$TFDS_DATA_DIR or ~/tensorflow_datasets.')
  flags.DEFINE_bool(
      'download', False, 'Whether what is missing may be downloaded.')


def main(values):
  config = data.get_config()
  config.name = values.name
  config.data_dir = values.data_dir
  source = sources.open_source(config, values.download)
  sizes = ', '.join(f'{name} ({size:,})' for name, size in
                    source.splits.items())
  print(f'{source.name} is prepared, with the splits {sizes}.')


if __name__ == '__main__':
  command.run(define_flags, main)
