"""Images of any data set of TFDS."""

import hashlib

import tensorflow as tf
import tensorflow_datasets as tfds

from training.data import sources


class TFDS(sources.Source):
  """A prepared data set of TFDS."""

  def __init__(self, name, builder):
    super().__init__()
    self.name = name
    self._builder = builder
    features = builder.info.features
    self._image, self._label = _keys(name, features)
    if self._label:
      self.class_names = features[self._label].names

  @property
  def splits(self):
    return {name: info.num_examples
            for name, info in self._builder.info.splits.items()}

  def fingerprint(self, rows):
    info = self._builder.data_path / 'dataset_info.json'
    return [self._builder.info.full_name,
            hashlib.sha256(info.read_bytes()).hexdigest()]

  def examples(self, rows):
    split = '+'.join(
        f'{part.split}[{part.start}:{part.stop}]' for part in rows)
    dataset = self._builder.as_dataset(split=split, shuffle_files=False)
    return dataset.map(self._image_and_label, tf.data.AUTOTUNE)

  def _image_and_label(self, example):
    label = example[self._label] if self._label else 0
    return example[self._image], tf.cast(label, tf.int32)


def open_tfds(name, data_dir, cache_dir, download):
  if name == 'digits':
    from training.data import digits
    builder = digits.Digits(data_dir=data_dir or cache_dir)
    builder.download_and_prepare()
  else:
    builder = tfds.builder(name, data_dir=data_dir)
  return TFDS(name, builder)


def _keys(name, features):
  """Which features are image and label."""
  images = [key for key, feature in features.items()
            if isinstance(feature, tfds.features.Image)]
  image = 'image' if 'image' in images else images[0]
  labels = [key for key, feature in features.items()
            if isinstance(feature, tfds.features.ClassLabel)]
  label = 'label' if 'label' in labels else None
  return image, label
