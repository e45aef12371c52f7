"""Draws a grid of samples of a trained model as a PNG file.

For example

    python -m training.sample --workdir runs/digits --temperatures 0.5,0.7,1
    python -m training.sample --workdir runs/digits_conditional --classes 0,1,8

One row for each temperature, or for each class at each temperature; of a run
with a condition (`data.condition`), one for each condition of images that the
recipe evaluates on, which comes first.
"""

from absl import flags
import numpy as np

from training import command
from training import evaluation
from training import groups
from training import pictures
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_string(
      'output', None, 'The PNG file; by default samples.png in the working '
      'folder.')
  flags.DEFINE_list(
      'temperatures', ['0.5', '0.7', '1'],
      'Factors of the latents, with commas.')
  flags.DEFINE_list(
      'classes', None, 'Numbers of classes, with commas; of a '
      'class-conditional model. By default all.')
  flags.DEFINE_integer('columns', 12, 'Samples a row.', lower_bound=1)
  flags.DEFINE_integer(
      'rows', 3, 'Rows for each temperature, where there are no classes.',
      lower_bound=1)
  flags.DEFINE_integer(
      'seed', None, 'Of the samples; by default others each time.')


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  temperatures = command.numbers('temperatures', values.temperatures)
  if 'feature_map' in model.condition_names:
    if values.classes is not None:
      raise ValueError(
          '--classes is given, but the model is told images: samples are of '
          'the classes of those that the recipe evaluates on.')
    rows, names = draw_conditioned(
        model, groups.open_split(config, None), temperatures, values.rows,
        values.columns, values.seed)
  else:
    rows, names = draw(
        model, temperatures, _classes(model, values.classes), values.rows,
        values.columns, values.seed)
  path = runs.results(values.workdir, values.output, 'samples.png')
  pictures.save_grid(path, rows, names, channels=config.picture_channels)
  print(path)


def draw(model, temperatures, classes, num_rows, columns, seed):
  """Rows of samples, and a name for each.

  Args:
    model: `FlowModel`.
    temperatures: List of Python `float`s.
    classes: List of Python `int`s, one row each, or `None`.
    num_rows: Python `int`, rows of each temperature where there are none.
    columns: Python `int`, samples a row.
    seed: Python `int` or `None`.

  Returns:
    rows: uint8 `[R, columns, H, W, C]`.
    names: `R` strings, empty where a row goes on with the one above.
  """
  rows, names = [], []
  for temperature in temperatures:
    for row in range(num_rows) if classes is None else classes:
      label = None if classes is None else row
      rows.append(model.sample(
          columns, temperature=temperature, label=label,
          seed=None if seed is None else seed + row))
      if classes is not None:
        names.append(f'class {row}, temperature {temperature:g}')
      else:
        names.append(f'temperature {temperature:g}' if row == 0 else '')
  return np.stack(rows), names


def draw_conditioned(model, images, temperatures, num_rows, columns, seed):
  """Rows of a condition and samples under it, and a name for each.

  Args:
    model: `FlowModel` with the condition `feature_map`.
    images: `data.Data`.
    temperatures: List of Python `float`s.
    num_rows: Python `int`, conditions, each at every temperature.
    columns: Python `int`, samples a row.
    seed: Python `int` or `None`.

  Returns:
    rows: uint8 `[R, 1 + columns, H, W, C]`.
    names: `R` strings, empty where a row goes on with the one above.
  """
  pixels, conditions = evaluation.unpack(
      model, next(iter(images.eval_batches(num_rows, num_rows))))
  shown = pictures.of_feature_map(conditions['feature_map'], pixels)
  rows, names = [], []
  for temperature in temperatures:
    for row in range(len(pixels)):
      samples = model.sample(
          columns, temperature=temperature,
          seed=None if seed is None else seed + row,
          **evaluation.repeated(conditions, row, columns))
      rows.append(np.concatenate([shown[row:row + 1], samples]))
      names.append(f'temperature {temperature:g}' if row == 0 else '')
  return np.stack(rows), names


def _classes(model, names):
  if 'label' not in model.condition_names:
    if names is not None:
      raise ValueError('--classes is given, but the model knows no classes.')
    return None
  every = list(range(model.flow.num_classes))
  if names is None:
    return every
  classes = command.numbers('classes', names, int)
  for number in classes:
    if number not in every:
      raise ValueError(
          f'--classes has {number}, which is none of 0 .. {len(every) - 1}.')
  return classes


if __name__ == '__main__':
  command.run(define_flags, main)
