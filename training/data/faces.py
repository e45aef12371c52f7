"""Cartoon faces with known attributes, drawn without a network.

Pablo Stanley's Avataaars, free for any use, as the package `python_avatars` has
them, made pixels of by `resvg_py`.
"""

import collections
import io
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image
import python_avatars
import resvg_py
import tensorflow_datasets as tfds
import tqdm

ATTRIBUTES = ('smile', 'glasses', 'beard')
HAIR = (
    'NONE', 'BOB', 'BUN', 'CAESAR', 'CURLY', 'CURVY', 'FRO',
    'LONG_NOT_TOO_LONG', 'SHAGGY', 'SHORT_CURLY', 'SHORT_FLAT', 'SHORT_ROUND',
    'SHORT_WAVED', 'SIDES', 'STRAIGHT_1', 'STRAIGHT_2', 'STRAIGHT_STRAND')
HAIR_COLORS = ('AUBURN', 'BLACK', 'BLONDE', 'BLONDE_GOLDEN', 'BROWN',
               'BROWN_DARK', 'PLATINUM', 'RED', 'SILVER_GRAY')
SKINS = ('PALE', 'LIGHT', 'BROWN', 'DARK_BROWN', 'BLACK')
BACKGROUNDS = {'BLUE': '#65C9FF', 'GREEN': '#A7D7A9', 'YELLOW': '#F6D776',
               'PINK': '#F4B6C2', 'LILAC': '#C3B1E1', 'GRAY': '#D5DADE'}
_GLASSES = ('PRESCRIPTION_2', 'ROUND')
_BEARDS = ('BEARD_LIGHT', 'BEARD_MEDIUM')
_CLOTHES = ('BLUE_03', 'GRAY_02', 'HEATHER', 'PASTEL_GREEN', 'RED', 'WHITE')
_CHOICES = {
    'smile': (False, True), 'glasses': (False, True), 'beard': (False, True),
    'hair': HAIR, 'hair_color': HAIR_COLORS, 'skin': SKINS,
    'background': tuple(BACKGROUNDS), 'kind_of_glasses': _GLASSES,
    'kind_of_beard': _BEARDS, 'clothes': _CLOTHES}

# The head, in a drawing of 264x280.
_HEAD = '29 17 206 206'
# Drawn larger and averaged, since edges of masks are not smooth otherwise.
_OVERSAMPLING = 2
_SECONDS_OF_SILENCE = 2
_CLASSES = ('hair', 'hair_color', 'skin', 'background')

Face = collections.namedtuple('Face', _CHOICES)


def faces(num_faces, seed=0):
  """Chooses faces at random, no two of which look the same.

  Every attribute is independent of the others, and each of its values as
  likely as the next.

  Args:
    num_faces: Python `int`.
    seed: Python `int`, not negative. Default value: `0`.

  Returns:
    faces: List of `Face`. A face's hair colour has no effect if it has neither
      hair nor beard.

  #### Examples

  >>> face, = faces(1)
  >>> face.smile, face.hair, face.skin
  (True, 'CURLY', 'PALE')
  """
  generator = np.random.default_rng(seed)
  chosen = {}
  while len(chosen) < num_faces:
    face = Face(*(values[generator.integers(len(values))]
                  for values in _CHOICES.values()))
    chosen.setdefault(_what_shows(face), face)
  return list(chosen.values())


def draw(face, size=32):
  """Draws a face.

  Args:
    face: `Face`.
    size: Python `int`, height and width in pixels. Default value: `32`.

  Returns:
    image: uint8 `[size, size, 3]`.
  """
  colour = python_avatars.HairColor[face.hair_color]
  svg = python_avatars.Avatar(
      top=python_avatars.HairType[face.hair],
      hair_color=colour,
      facial_hair=python_avatars.FacialHairType[
          face.kind_of_beard if face.beard else 'NONE'],
      facial_hair_color=colour,
      accessory=python_avatars.AccessoryType[
          face.kind_of_glasses if face.glasses else 'NONE'],
      mouth=python_avatars.MouthType['SMILE' if face.smile else 'SERIOUS'],
      eyebrows=python_avatars.EyebrowType.DEFAULT_NATURAL,
      skin_color=python_avatars.SkinColor[face.skin],
      clothing=python_avatars.ClothingType.SHIRT_CREW_NECK,
      clothing_color=python_avatars.ClothingColor[face.clothes]).render()
  root = ElementTree.fromstring(svg)
  side = str(_OVERSAMPLING * size)
  root.attrib.update(viewBox=_HEAD, width=side, height=side)
  for element in root.iter():
    # This style alone has a colour below the one that python_avatars sets.
    if element.get('id') == 'straight_2_Color':
      element.set('fill', colour.value)
  png = resvg_py.svg_to_bytes(
      ElementTree.tostring(root, 'unicode'),
      background=BACKGROUNDS[face.background])
  with Image.open(io.BytesIO(png)) as image:
    return np.asarray(image.convert('RGB').reduce(_OVERSAMPLING))


def _what_shows(face):
  """`face`, without the choices that do not change its picture."""
  return face._replace(
      hair_color=face.hair_color
      if face.beard or face.hair != 'NONE' else None,
      kind_of_glasses=face.kind_of_glasses if face.glasses else None,
      kind_of_beard=face.kind_of_beard if face.beard else None)


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
            'attributes': {name: np.bool_ for name in ATTRIBUTES},
            **{name: tfds.features.ClassLabel(names=_CHOICES[name])
               for name in _CLASSES}}),
        disable_shuffling=True)

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing to download
    every = faces(self.builder_config.num_faces)
    held_out = len(every) // 10
    progress = tqdm.tqdm(
        total=len(every), desc='Drawing faces', unit=' faces',
        delay=_SECONDS_OF_SILENCE)
    return {
        'train': self._generate_examples(every[:-held_out], progress),
        'test': self._generate_examples(every[-held_out:], progress)}

  def _generate_examples(self, drawn, progress):
    for row, face in enumerate(drawn):
      yield row, {
          'image': draw(face, self.builder_config.size),
          'attributes': {name: getattr(face, name) for name in ATTRIBUTES},
          **{name: getattr(face, name) for name in _CLASSES}}
      progress.update()
