"""Cartoon faces with known attributes as a data set of TFDS."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from training.data import avatars

_ATTRIBUTES = ('smile', 'glasses', 'beard')
_CLASSES = ('hair', 'hair_color', 'skin', 'background')
_SECONDS_OF_SILENCE = 2


class FacesConfig(tfds.core.BuilderConfig):
  """Which faces: `'32x32'`, `'64x64'`, or `'32x32_500'` for 500 of them.

  Attributes:
    size: Python `int`, height and width.
    num_faces: Python `int`.
  """

  def __init__(self, name, version=None):
    """Reads the name.

    Args:
      name: Python `str`.
      version: As of `tfds.core.BuilderConfig`. Default value: `None`.

    Raises:
      ValueError: If the name is not of that form.
    """
    match = re.fullmatch(r'(32x32|64x64)(?:_(\d+))?', name)
    self.num_faces = int(match[2] or 10_000) if match else 0
    if self.num_faces < 10:
      raise ValueError(
          f"`name` is 'faces/{name}', but there are faces/32x32 and "
          'faces/64x64, and, with a number of faces that is at least 10, '
          'faces/32x32_500.')
    self.size = int(match[1][:2])
    super().__init__(name=name, version=version, description=(
        f'{self.num_faces:,} faces of {match[1]} pixels.'))


def builder(name, data_dir):
  """The builder of a data set of faces.

  Args:
    name: Python `str`, `'faces'` or `'faces/CONFIG'`, as `FacesConfig` has it.
    data_dir: Where data sets are.

  Returns:
    builder: `Faces`.

  Raises:
    ValueError: If there is no such configuration.
  """
  configuration = '32x32' if name == 'faces' else name.partition('/')[2]
  return Faces(data_dir=data_dir, config=Faces.builder_configs.get(
      configuration) or FacesConfig(configuration))


class Faces(tfds.core.GeneratorBasedBuilder):
  """The faces as a data set of TFDS; a tenth is held out as `test`."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  BUILDER_CONFIGS = [FacesConfig('32x32'), FacesConfig('64x64')]

  def _info(self):
    size = self.builder_config.size
    return self.dataset_info_from_configs(
        description='Cartoon faces with attributes that are independent of '
                    "each other, drawn of the parts of Pablo Stanley's "
                    'Avataaars.',
        homepage='https://avataaars.com',
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(size, size, 3)),
            'attributes': {name: np.bool_ for name in _ATTRIBUTES},
            **{name: tfds.features.ClassLabel(names=avatars.CHOICES[name])
               for name in _CLASSES}}),
        disable_shuffling=True)

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing to download
    count = self.builder_config.num_faces
    held_out = count // 10
    return {'train': self._generate_examples(0, count - held_out),
            'test': self._generate_examples(count - held_out, count)}

  def _generate_examples(self, start, stop):
    config = self.builder_config
    chosen = avatars.faces(config.num_faces)[start:stop]
    for row, (face, image) in enumerate(zip(
        chosen, _drawn(config.num_faces, start, stop, config.size))):
      yield row, {
          'image': image,
          'attributes': {name: getattr(face, name) for name in _ATTRIBUTES},
          **{name: getattr(face, name) for name in _CLASSES}}


def _drawn(count, start, stop, size):
  """Pixels of faces from `start` to before `stop`, drawn on every core."""
  num_workers = min(os.cpu_count(), stop - start)
  shape = (size, size, 3)
  progress = tqdm.tqdm(
      total=stop - start, desc='Drawing faces', unit=' faces',
      delay=_SECONDS_OF_SILENCE, disable=None)
  # Processes that import neither TensorFlow nor this package start at once.
  workers = [
      subprocess.Popen(
          [sys.executable, '-P', avatars.__file__,
           *map(str, (count, start + number, stop, num_workers, size))],
          stdout=subprocess.PIPE)
      for number in range(num_workers)]
  try:
    with progress:
      for row in range(stop - start):
        pixels = workers[row % num_workers].stdout.read(math.prod(shape))
        if len(pixels) < math.prod(shape):
          raise RuntimeError(
              'A process that draws faces has failed; it wrote why to stderr.')
        yield np.frombuffer(pixels, np.uint8).reshape(shape)
        progress.update()
  finally:
    for worker in workers:
      worker.kill()
      worker.stdout.close()
      worker.wait()
