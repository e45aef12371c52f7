r"""Folders of faces, of faces with a pasted patch, and of digits in colour.

```shell
python -m benchmarks.unusual_faces FOLDER [--count 1000] [--seed 0]
```

They are for `python -m training.score`, which says how well a model of faces
tells the first from the others (docs/unusual-images.md):

- `FOLDER/faces`: held-out faces of the data set `faces/32x32`;
- `FOLDER/patched`: the same, each with a square of 10x10 pixels out of another
  one, from one place to another, both drawn at random;
- `FOLDER/digits`: scikit-learn's digits, enlarged to 32x32, in two colours, one
  for the digit and one for what is behind it.
"""

import pathlib
import sys

import numpy as np
from PIL import Image
import tensorflow as tf

from benchmarks import command
from training import data
from training import evaluation
from training.data import digits as digits_lib

_PATCH = 10
_SIDE = 32


def patched(images, generator):
  """Images with a square of another one each.

  Args:
    images: uint8 `[N, H, W, C]`.
    generator: `numpy.random.Generator`.

  Returns:
    images: uint8 `[N, H, W, C]`.
  """
  count, height, width, _ = images.shape
  others = images[np.roll(np.arange(count), 1)]
  tops, lefts = (generator.integers(0, side - _PATCH + 1, (count, 2))
                 for side in (height, width))
  result = images.copy()
  for image, other, (top, from_top), (left, from_left) in zip(
      result, others, tops, lefts):
    image[top:top + _PATCH, left:left + _PATCH] = other[
        from_top:from_top + _PATCH, from_left:from_left + _PATCH]
  return result


def coloured(digits, generator):
  """Grey digits, enlarged, in two colours each.

  Args:
    digits: uint8 `[N, H, W, 1]`.
    generator: `numpy.random.Generator`.

  Returns:
    images: uint8 `[N, 32, 32, 3]`.
  """
  ink = tf.image.resize(digits, (_SIDE, _SIDE), 'bicubic').numpy() / 255.
  behind, of_digit = generator.uniform(
      0., 255., (2, len(digits), 1, 1, 3))
  mixed = behind + np.clip(ink, 0., 1.) * (of_digit - behind)
  return np.uint8(np.round(mixed))


def main(argv=None):
  """Writes the folders.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.unusual_faces', __doc__)
  parser.add_argument('folder', type=pathlib.Path)
  parser.add_argument('--count', type=int, default=1000,
                      help='of each kind; default: 1000')
  parser.add_argument('--name', default='faces/32x32',
                      help='the data set; default: %(default)s')
  parser.add_argument('--seed', type=int, default=0, help='default: 0')
  args = parser.parse_args(argv)
  config = data.get_config()
  config.name = args.name
  faces, _ = evaluation.images_and_labels(
      data.open(config).eval_batches(100, args.count))
  generator = np.random.default_rng(args.seed)
  (digits, _), _ = digits_lib.load_data()
  kinds = {'faces': faces, 'patched': patched(faces, generator),
           'digits': coloured(digits[:args.count], generator)}
  for kind, images in kinds.items():
    folder = args.folder / kind
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
      Image.fromarray(image).save(folder / f'{number:04d}.png')
    print(f'{folder}: {len(images):,} images')
  return 0


if __name__ == '__main__':
  sys.exit(main())
