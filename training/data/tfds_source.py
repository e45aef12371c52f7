"""Images of any data set of TFDS."""

import contextlib
import difflib
import hashlib
import io
import shlex

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from training.data import digits
from training.data import faces
from training.data import source

_TIMEOUT_SECONDS = 10


class TFDS(source.Source):
  """A data set that TFDS has prepared."""

  def __init__(self, name, builder):
    super().__init__(name)
    self._builder = builder
    features = builder.info.features
    self._image = _image_key(name, features)
    labelled = 'label' in features.keys() and isinstance(
        features['label'], tfds.features.ClassLabel)
    if labelled:
      self.class_names = features['label'].names
    self._paths, self.attributes = {}, {}
    for path, names in _attributes(features):
      # A name that two features share is their whole path instead.
      name = path[-1] if path[-1] not in self._paths else '/'.join(path)
      self._paths[name], self.attributes[name] = path, names

  @property
  def splits(self):
    return {name: info.num_examples
            for name, info in self._builder.info.splits.items()}

  def fingerprint(self, rows):
    info = self._builder.data_path / 'dataset_info.json'
    return [self._builder.info.full_name,
            hashlib.sha256(info.read_bytes()).hexdigest()]

  def examples(self, rows, reading):
    def image_and_label(example):
      image = example[self._image][..., :3]
      shape = image.shape
      if image.dtype != reading.dtype or reading.knows_bits:
        image = tf.numpy_function(
            lambda values: reading.to_top(values, self.name), [image],
            reading.dtype, stateful=False)
      label = example['label'] if self.class_names else 0
      return tf.ensure_shape(image, shape), tf.cast(label, tf.int32)

    return self._read(rows).map(image_and_label, tf.data.AUTOTUNE)

  def attribute(self, rows, name):
    path = self._paths[name]
    wanted = True
    for key in reversed(path):
      wanted = {key: wanted}
    values = []
    for example in self._read(
        rows, tfds.decode.PartialDecoding(wanted)).as_numpy_iterator():
      for key in path:
        example = example[key]
      values.append(example)
    return np.array(values, np.int32)

  def _read(self, rows, decoders=None):
    split = '+'.join(
        f'{part.split}[{part.start}:{part.stop}]' for part in rows)
    return self._builder.as_dataset(
        split=split, shuffle_files=False, decoders=decoders,
        read_config=tfds.ReadConfig(try_autocache=False))


def open_tfds(name, data_dir, cache_dir, download):
  """Opens a data set, and prepares it where that may be done.

  Args:
    name: Python `str`, of a data set, or data set and configuration.
    data_dir: Python `str`, where data sets are, or `None`.
    cache_dir: `pathlib.Path`, where the digits and the faces are prepared.
    download: Python `bool`, whether to download it if it is not there.

  Returns:
    source: `TFDS`.

  Raises:
    FileNotFoundError: If it is not prepared, and must not be downloaded.
    ConnectionError: If it cannot be downloaded.
    ValueError: If there is none of that name, or it has no images.
  """
  if name == 'digits':
    return TFDS(name, _own(digits.Digits(data_dir=cache_dir)))
  if name == 'faces' or name.startswith('faces/'):
    return TFDS(name, _own(faces.builder(name, cache_dir)))
  try:
    builder = tfds.builder(name, data_dir=data_dir)
  except (AssertionError, ValueError, tfds.core.DatasetNotFoundError) as error:
    raise ValueError(
        f'`name` is {name!r}, which TFDS does not have. The nearest names are '
        f'{", ".join(_nearest(name))}.') from error
  _image_key(name, builder.info.features)  # before anything is downloaded
  if not builder.is_prepared():
    if not download:
      raise FileNotFoundError(_how_to_prepare(name, data_dir, builder))
    _check_network(builder)
    builder = _prepared(builder)
  return TFDS(name, builder)


def _nearest(name):
  """Names that exist, with a configuration where there are several."""
  builders = tfds.list_builders(with_community_datasets=False)
  dataset = name.partition('/')[0]
  if dataset in builders:
    configurations = tfds.builder_cls(dataset).builder_configs
    names = [f'{dataset}/{one}' for one in configurations] or [dataset]
  else:
    names = ['image_folder:PATH', 'npz:PATH', *builders]
  return difflib.get_close_matches(name, names, n=3, cutoff=0.)


def _check_network(builder):
  """Fails at once where TFDS would try for minutes."""
  for url in list(builder.url_infos)[:1]:
    try:
      requests.head(url, timeout=_TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
      raise ConnectionError(
          f'{builder.name!r} cannot be downloaded, because {url} cannot be '
          f'reached. A prepared copy from another machine can be put into '
          f'{builder.data_path}.') from error


def _own(builder):
  """One of the project's own data sets, prepared without TFDS's words."""
  if builder.is_prepared():
    return builder
  tfds.disable_progress_bar()
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      return _prepared(builder)
  finally:
    tfds.enable_progress_bar()


def _prepared(builder):
  """Prepares a data set, unless another process does so first."""
  try:
    builder.download_and_prepare()
  except FileExistsError:
    builder = type(builder)(
        config=builder.builder_config, data_dir=_root(builder))
    if not builder.is_prepared():
      raise
  return builder


def _how_to_prepare(name, data_dir, builder):
  command = ['python', '-m', 'training.prepare', f'--name={name}']
  if data_dir is not None:
    command.append(f'--data_dir={data_dir}')
  message = (
      f'The data set {name!r} is not in {builder.data_path}, where TFDS keeps '
      f'it. To download and prepare it: {shlex.join(command)} --download')
  manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
  if manual:
    folder = _root(builder) / 'downloads' / 'manual'
    message += (f'. Before that, some files have to be put into {folder} by '
                f'hand:\n{manual}')
  return message


def _root(builder):
  """The folder of all data sets, above name, configuration and version."""
  depth = len(builder.info.full_name.split('/'))
  return builder.data_path.parents[depth - 1]


def _attributes(features, path=()):
  """Paths and names of values of features that are yes or no, or classes."""
  for key, feature in features.items():
    here = (*path, key)
    if isinstance(feature, tfds.features.FeaturesDict):
      yield from _attributes(feature, here)
    elif isinstance(feature, tfds.features.ClassLabel):
      yield here, feature.names
    elif feature.shape == () and feature.np_dtype == np.bool_:
      yield here, ['no', 'yes']


def _image_key(name, features):
  """Which feature has the images."""
  images = [key for key, feature in features.items()
            if isinstance(feature, tfds.features.Image)]
  if len(images) > 1 and 'image' in images:
    images = ['image']
  if len(images) != 1:
    raise ValueError(
        f'`name` is {name!r}, of which {len(images)} features are images: one '
        f'is needed, or one called `image`. Its features are '
        f'{", ".join(features)}.')
  feature = features[images[0]]
  if feature.np_dtype not in (np.uint8, np.uint16):
    raise ValueError(
        f'`name` is {name!r}, whose images are {feature.np_dtype.__name__}; '
        'needed are uint8 or uint16.')
  return images[0]
