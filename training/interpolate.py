"""Draws what lies between images, as a trained model sees it, as PNG files.

For example

    python -m training.interpolate --workdir runs/digits
    python -m training.interpolate --workdir runs/digits --method spherical

writes interpolation.png, strips from one image to another (as in Figure 5 of
Glow's paper), and manifold.png, a closed surface through four images: those in
its top left corner and two rows or columns of every eight from there (as in
Figure 6 of RealNVP's paper). A class-conditional model is given images of one
class at a time.
"""

from absl import flags
import numpy as np

import tfp_glow
from training import command
from training import groups
from training import pictures
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  command.define_folder()
  flags.DEFINE_enum(
      'method', 'linear', ('linear', 'spherical'),
      'Along which lines of the latent space the strips go.')
  flags.DEFINE_integer('rows', 8, 'Strips.', lower_bound=1)
  flags.DEFINE_integer(
      'columns', 11, 'Images in each strip, both ends included.',
      lower_bound=2)
  command.define_split()
  flags.DEFINE_integer(
      'seed', 0, 'Of the choice of images.', lower_bound=0)


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  images = groups.open_split(config, values.split)
  folder = runs.results(values.workdir, values.output)

  first, second, known, names = ends(
      model, images, values.rows, values.seed)
  strips = tfp_glow.interpolate(
      model, first, second, values.columns, values.method,
      **groups.conditions(model, known))
  _save(folder / 'interpolation.png', config, strips, names,
        ['real image', *[''] * (values.columns - 2), 'real image'])

  four, known = _four(model, images, values.seed)
  grid = tfp_glow.manifold(
      model, four, **{k: v[:1] for k, v in
                      groups.conditions(model, known).items()})
  _save(folder / 'manifold.png', config, grid)


def ends(model, images, count, seed=0):
  """Pairs of images drawn from all of the data set.

  Args:
    model: `FlowModel`.
    images: `data.Data`.
    count: Python `int`, how many pairs at most.
    seed: Python `int`, of the choice. Default value: `0`.

  Returns:
    first: uint8 `[N, H, W, C]`.
    second: uint8 `[N, H, W, C]`. If the model is class-conditional, each is of
      the class of the first.
    known: What is known of the first, as `groups.draw` gives it.
    names: `N` strings, or `None`.

  Raises:
    ValueError: If there are too few images for one pair.
  """
  pixels, known = groups.draw(
      images.eval_batches(100), 50 * count, seed)
  labels = groups.labels_of(known)
  rows = _neighbours(
      labels if 'label' in model.condition_names else None, len(pixels))
  if not rows:
    raise ValueError('There are too few images: two are needed.')
  a, b = np.array(rows[:count]).T
  known = groups.of_rows(known, a)
  if labels is None:
    return pixels[a], pixels[b], known, None
  names = [f'{images.class_names[labels[i]]} to '
           f'{images.class_names[labels[j]]}' for i, j in zip(a, b)]
  return pixels[a], pixels[b], known, names


def _neighbours(labels, count):
  """Pairs of rows, each row in one pair; with labels, of one class each."""
  waiting, pairs = {}, []
  for row in range(count):
    label = None if labels is None else labels[row]
    if label in waiting:
      pairs.append((waiting.pop(label), row))
    else:
      waiting[label] = row
  return sorted(pairs)


def _four(model, images, seed):
  """Four images for the manifold; of one class, if the model knows classes."""
  pixels, known = groups.draw(images.eval_batches(100), 500, seed)
  labels = groups.labels_of(known)
  rows = np.arange(len(pixels))
  if 'label' in model.condition_names:
    # The class, of those that have four, whose image was drawn first.
    rows = next(
        (rows for rows in (np.flatnonzero(labels == one) for one in labels)
         if len(rows) >= 4), [])
  if len(rows) < 4:
    raise ValueError(
        'There are too few images: the manifold needs four'
        + (', of one class.' if 'label' in model.condition_names else '.'))
  rows = rows[:4]
  return pixels[rows], groups.of_rows(known, rows)


def _save(path, config, rows, names=None, column_names=None):
  pictures.save_grid(path, rows, names, column_labels=column_names,
                     channels=config.picture_channels)
  print(path)


if __name__ == '__main__':
  command.run(define_flags, main)
