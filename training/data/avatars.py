"""Draws cartoon faces: Pablo Stanley's Avataaars, free for any use.

`python_avatars` has them, and `resvg_py` makes pixels of them. As a program,
without TensorFlow, `avatars.py COUNT START STOP STEP SIZE` writes the pixels of
some of `faces(COUNT)`.
"""

import collections
import io
import sys
from xml.etree import ElementTree

import numpy as np
from PIL import Image
import python_avatars
import resvg_py

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
CHOICES = {
    'smile': (False, True), 'glasses': (False, True), 'beard': (False, True),
    'hair': HAIR, 'hair_color': HAIR_COLORS, 'skin': SKINS,
    'background': tuple(BACKGROUNDS), 'kind_of_glasses': _GLASSES,
    'kind_of_beard': _BEARDS, 'clothes': _CLOTHES}

# The head, in a drawing of 264x280.
_HEAD = '29 17 206 206'
# Drawn larger and averaged, since edges of masks are not smooth otherwise.
_OVERSAMPLING = 2

Face = collections.namedtuple('Face', CHOICES)


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
                  for values in CHOICES.values()))
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


def main(arguments):
  count, start, stop, step, size = map(int, arguments)
  for face in faces(count)[start:stop:step]:
    sys.stdout.buffer.write(draw(face, size).tobytes())


if __name__ == '__main__':
  main(sys.argv[1:])
