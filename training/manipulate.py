"""Moves images along attributes' directions in the latent space.

For example

    python -m training.manipulate --workdir runs/faces --attribute smile
    python -m training.manipulate --workdir runs/faces \\
        --attribute smile,glasses,beard
    python -m training.manipulate --workdir runs/digits --positives 8 \\
        --negatives 3
    python -m training.manipulate --workdir runs/mine --name smiling \\
        --positives ~/faces/smiling --negatives ~/faces/serious

The direction is the difference of the mean latents of two groups of images
(Section 6 of Glow's paper): those that have an attribute of the run's data set
and those that lack it, or two groups, each a class of the data set or a folder.
It is written to NAME.npy, which `python -m training.export` takes, and NAME.png
shows images of the second group moved along it, one a row. Several attributes
are written to a file each, and share attributes.png, a row each.
"""

from absl import flags
import numpy as np

import tfp_glow
from training import command
from training import directions
from training import evaluation
from training import groups
from training import pictures
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_list(
      'attribute', [], 'Attributes of the data set that images have or lack, '
      'with commas; instead of --positives and --negatives.')
  flags.DEFINE_string(
      'positives', None, 'Where the direction leads: a folder of images, or a '
      'class of the data set, by its name or number.')
  flags.DEFINE_string(
      'negatives', None, 'Where it comes from: a folder or a class.')
  flags.DEFINE_string(
      'name', None, 'How the direction and its picture are called; by default '
      'as the attribute, attributes, or direction.')
  flags.DEFINE_string(
      'output', None, 'The folder of the files; by default the working folder.')
  flags.DEFINE_list(
      'strengths', ['-1', '-0.5', '0', '0.5', '1', '1.5', '2'],
      'How far the images are moved, with commas: 1 is the whole way between '
      'the means.')
  flags.DEFINE_integer(
      'rows', None, 'Images that are moved along a direction; by default 8, or '
      'one each where there are several.', lower_bound=1)
  flags.DEFINE_string(
      'split', 'train', 'Of which images of the data set the direction is '
      "found, in TFDS's syntax. Those that are moved are among the ones that "
      'the recipe evaluates on.')
  flags.DEFINE_integer(
      'seed', 0, 'Of the choice of the images that are moved.', lower_bound=0)


def main(values):
  strengths = command.numbers('strengths', values.strengths)
  by_groups = bool(values.positives)
  if bool(values.negatives) != by_groups or bool(values.attribute) == by_groups:
    raise ValueError(
        'Either --attribute is needed, or both --positives and --negatives.')
  config, model = runs.load(values.workdir, values.weights)
  if values.attribute:
    found, starts, labels = _of_attributes(config, model, values)
  else:
    found, starts, labels = _of_groups(config, model, values)

  folder = runs.results(values.workdir, values.output)
  rows = []
  for (name, direction), (images, conditions) in zip(found.items(), starts):
    np.save(folder / f'{name}.npy', direction)
    print(folder / f'{name}.npy')
    rows.append(tfp_glow.manipulate(
        model, images, direction, strengths, **conditions))
  picture = values.name or (
      'attributes' if len(found) > 1 else next(iter(found)))
  pictures.save_grid(
      folder / f'{picture}.png', np.concatenate(rows), labels,
      column_labels=[_strength(strength) for strength in strengths],
      channels=config.picture_channels)
  print(folder / f'{picture}.png')


def _of_attributes(config, model, values):
  """Directions by name, images to move along each, and names of the rows."""
  names = values.attribute
  found = directions.of_attributes(
      model, groups.open_split(config, values.split), names)
  held_out = groups.open_split(config, None)
  count = values.rows or (1 if len(names) > 1 else 8)
  starts, labels = [], []
  for name in names:
    images, classes = groups.draw(
        groups.with_attribute(held_out, name, False), count, values.seed)
    starts.append((images, groups.conditions(model, classes)))
    labels.extend([name, *[''] * (len(images) - 1)])
  if len(names) == 1 and values.name:
    found = {values.name: found[names[0]]}
  return found, starts, labels


def _of_groups(config, model, values):
  """The same of two groups, whose rows have no names."""
  shape = model.image_shape
  direction = tfp_glow.attribute_direction(model, *(
      evaluation.shown(groups.named(config, name, shape, values.split),
                       f'Encoding {name}')
      for name in (values.positives, values.negatives)))
  images, classes = groups.draw(
      groups.named(config, values.negatives, shape), values.rows or 8,
      values.seed)
  return ({values.name or 'direction': direction},
          [(images, groups.conditions(model, classes))], None)


def _strength(strength):
  return 'real image' if strength == 0. else f'strength {strength:g}'


if __name__ == '__main__':
  command.run(define_flags, main)
