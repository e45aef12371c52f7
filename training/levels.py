"""Shows what each level of a trained flow holds, as PNG files.

For example

    python -m training.levels --workdir runs/digits

writes levels.png, images of the data set above those with the latents of some
levels drawn anew: of the first one only, which has the finest detail, then of
the first two, and so on; and temperatures.png, samples with one level at a
temperature of 1 and the others at another.
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
  flags.DEFINE_integer('columns', 12, 'Images a row.', lower_bound=1)
  flags.DEFINE_float(
      'temperature', 0.7, 'Of the latents that are drawn anew, and of the '
      'levels that are not at 1.', lower_bound=0.)
  command.define_split()
  flags.DEFINE_integer(
      'seed', 0, 'Of the choice of images, and of what is drawn.',
      lower_bound=0)


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  images, labels = groups.draw(
      groups.open_split(config, values.split).eval_batches(100),
      values.columns, values.seed)
  conditions = groups.conditions(model, labels)
  folder = runs.results(values.workdir, values.output)
  for name, draw in (('levels', resampled), ('temperatures', tempered)):
    rows, names = draw(
        model, images, conditions, values.temperature, values.seed)
    pictures.save_grid(folder / f'{name}.png', rows, names,
                       channels=config.picture_channels)
    print(folder / f'{name}.png')


def resampled(model, images, conditions, temperature, seed):
  """Images, and below them those with more and more levels drawn anew.

  Args:
    model: `FlowModel`.
    images: uint8 `[N, H, W, C]`.
    conditions: `dict`, of the images.
    temperature: Python `float`, of what is drawn.
    seed: Python `int`.

  Returns:
    rows: uint8 `[1 + L, N, H, W, C]`.
    names: `1 + L` strings.
  """
  rows, names = [images], ['real images']
  for count in range(1, len(model.flow.latent_shapes) + 1):
    rows.append(tfp_glow.resample_levels(
        model, images, range(count), temperature, seed, **conditions))
    names.append('all drawn anew' if count == len(model.flow.latent_shapes)
                 else f'{_levels(range(count))} drawn anew')
  return np.stack(rows), names


def tempered(model, images, conditions, temperature, seed):
  """Samples at a temperature, all levels, and all but one.

  Args:
    model: `FlowModel`.
    images: uint8 `[N, H, W, C]`: as many samples, under the same conditions.
    conditions: `dict`, of the samples.
    temperature: Python `float`.
    seed: Python `int`.

  Returns:
    rows: uint8 `[1 + L, N, H, W, C]`, or one row if there is one level.
    names: As many strings.
  """
  count = len(model.flow.latent_shapes)
  rows, names = [], []
  for level in (None, *(range(count) if count > 1 else ())):
    temperatures = np.full([1, count], temperature)
    names.append(f'temperature {temperature:g}')
    if level is not None:
      temperatures[0, level] = 1.
      names[-1] = f'{_levels([level])} at temperature 1'
    rows.append(model.sample(
        len(images), temperatures, seed=seed, **conditions))
  return np.stack(rows), names


def _levels(levels):
  return ('level ' if len(levels) == 1 else 'levels ') + ', '.join(
      str(level) for level in levels)


if __name__ == '__main__':
  command.run(define_flags, main)
