"""The handwritten digits that scikit-learn ships, as uint8 images."""

import numpy as np
import sklearn.datasets
import tensorflow_datasets as tfds


def load_data(num_held_out=297, seed=0):
  """Loads the 1,797 digits of 8x8 pixels, shuffled and split.

  A grey level `k`, one of 0 to 16, becomes `min(16 * k, 255)`. Four bits then
  keep 16 of the 17 levels: the two brightest become one.

  Args:
    num_held_out: Python `int`, how many images are held out.
      Default value: `297`.
    seed: Python `int`, of the shuffle. Default value: `0`.

  Returns:
    train: Pair of images, uint8 `[N, 8, 8, 1]`, and labels, int32 `[N]`.
    held_out: Such a pair, of `num_held_out` images.

  Raises:
    ValueError: If `num_held_out` leaves either part empty.
  """
  levels, labels = sklearn.datasets.load_digits(return_X_y=True)
  if not 0 < num_held_out < len(labels):
    raise ValueError(f'`num_held_out` must be between 1 and {len(labels) - 1}, '
                     f'got {num_held_out}.')
  images = np.minimum(16 * levels, 255).astype(np.uint8).reshape(-1, 8, 8, 1)
  labels = labels.astype(np.int32)
  order = np.random.default_rng(seed).permutation(len(labels))
  train, held_out = np.split(order, [len(order) - num_held_out])
  return (images[train], labels[train]), (images[held_out], labels[held_out])


class Digits(tfds.core.GeneratorBasedBuilder):
  """The digits as a data set of TFDS, prepared without a network."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}

  def _info(self):
    return self.dataset_info_from_configs(
        description='Handwritten digits of 8x8 pixels, of the UCI repository, '
                    'as scikit-learn ships them.',
        homepage='https://archive.ics.uci.edu/dataset/80',
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(8, 8, 1)),
            'label': tfds.features.ClassLabel(num_classes=10)}),
        supervised_keys=('image', 'label'),
        disable_shuffling=True)

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing to download
    train, test = load_data()
    return {'train': self._generate_examples(*train),
            'test': self._generate_examples(*test)}

  def _generate_examples(self, images, labels):
    for row, (image, label) in enumerate(zip(images, labels)):
      yield row, {'image': image, 'label': label}
