"""Moves images along an attribute's direction in the latent space.

For example

    python -m training.manipulate --workdir runs/digits --positives 8 \\
        --negatives 3
    python -m training.manipulate --workdir runs/faces --name smiling \\
        --positives ~/faces/smiling --negatives ~/faces/serious

The direction is the difference of the mean latents of two groups of images
(Section 6 of Glow's paper), each a class of the run's data set or a folder. It
is written to NAME.npy, which `python -m training.export` takes, and NAME.png
shows images of the second group moved along it, one a row.
"""

import pathlib

from absl import flags
import numpy as np

import tfp_glow
from training import command
from training import evaluation
from training import groups
from training import pictures
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_string(
      'positives', None, 'Where the direction leads: a folder of images, or a '
      'class of the data set, by its name or number.')
  flags.DEFINE_string(
      'negatives', None, 'Where it comes from: a folder or a class.')
  flags.mark_flags_as_required(['positives', 'negatives'])
  flags.DEFINE_string(
      'name', 'direction', 'How the direction and its picture are called.')
  flags.DEFINE_string(
      'output', None, 'The folder of the two files; by default the working '
      'folder.')
  flags.DEFINE_list(
      'strengths', ['-1', '-0.5', '0', '0.5', '1', '1.5', '2'],
      'How far the images are moved, with commas: 1 is the whole way between '
      'the means.')
  flags.DEFINE_integer('rows', 8, 'Images that are moved.', lower_bound=1)
  flags.DEFINE_string(
      'split', 'train', 'Where classes are given, of which images they are '
      "taken to find the direction, in TFDS's syntax. Those that are moved are "
      'among the ones that the recipe evaluates on.')
  flags.DEFINE_integer(
      'seed', 0, 'Of the choice of the images that are moved.', lower_bound=0)


def main(values):
  try:
    strengths = [float(strength) for strength in values.strengths]
  except ValueError as error:
    raise ValueError(
        f'--strengths={",".join(values.strengths)}: {error}.') from error
  config, model = runs.load(values.workdir, values.weights)
  shape = model.image_shape
  direction = tfp_glow.attribute_direction(model, *(
      evaluation.shown(groups.named(config, name, shape, values.split),
                       f'Encoding {name}')
      for name in (values.positives, values.negatives)))
  images, labels = groups.draw(
      groups.named(config, values.negatives, shape), values.rows, values.seed)
  rows = tfp_glow.manipulate(
      model, images, direction, strengths, **groups.conditions(model, labels))

  folder = pathlib.Path(values.output or values.workdir)
  folder.mkdir(parents=True, exist_ok=True)
  np.save(folder / f'{values.name}.npy', direction)
  pictures.save_grid(
      folder / f'{values.name}.png', rows,
      column_labels=[f'{strength:g}' for strength in strengths])
  print(folder / f'{values.name}.npy')
  print(folder / f'{values.name}.png')


if __name__ == '__main__':
  command.run(define_flags, main)
