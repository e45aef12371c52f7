"""Draws a grid of samples of a trained model as a PNG file.

For example

    python -m training.sample --workdir runs/digits --temperatures 0.5,0.7,1
    python -m training.sample --workdir runs/digits_conditional --classes all

One row for each temperature, or for each class at each temperature.
"""

import pathlib

from absl import app
from absl import flags
import numpy as np

from training import command
from training import pictures
from training import runs

_WORKDIR = command.define_workdir()
_WEIGHTS = command.define_weights()
_OUTPUT = flags.DEFINE_string(
    'output', None, 'The PNG file; by default samples.png in the working '
    'folder.')
_TEMPERATURES = flags.DEFINE_list(
    'temperatures', ['0.5', '0.7', '1'], 'Factors of the latents, with commas.')
_CLASSES = flags.DEFINE_list(
    'classes', None, 'Numbers of classes, with commas, or "all"; of a '
    'class-conditional model.')
_COLUMNS = flags.DEFINE_integer('columns', 12, 'Samples a row.', lower_bound=1)
_ROWS = flags.DEFINE_integer(
    'rows', 3, 'Rows for each temperature, where there are no classes.',
    lower_bound=1)
_SEED = flags.DEFINE_integer(
    'seed', None, 'Of the samples; by default others each time.')


def main(argv):
  command.refuse_arguments(argv)
  try:
    temperatures = [float(value) for value in _TEMPERATURES.value]
  except ValueError as error:
    raise app.UsageError(
        f'--temperatures={",".join(_TEMPERATURES.value)}: {error}') from error
  with command.explained_errors():
    _, model = runs.load(_WORKDIR.value, _WEIGHTS.value)
    rows, names = draw(
        model, temperatures, _classes(model), _ROWS.value, _COLUMNS.value,
        _SEED.value)
  path = pathlib.Path(_OUTPUT.value or f'{_WORKDIR.value}/samples.png')
  path.parent.mkdir(parents=True, exist_ok=True)
  pictures.save_grid(path, rows, names)
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
    names: `R` strings.
  """
  rows, names = [], []
  for temperature in temperatures:
    for row in range(num_rows) if classes is None else classes:
      label = None if classes is None else row
      rows.append(model.sample(
          columns, temperature=temperature, label=label,
          seed=None if seed is None else seed + row))
      names.append(f'{temperature:g}' if classes is None else
                   f'class {row} at {temperature:g}')
  return np.stack(rows), names


def _classes(model):
  if 'label' not in model.condition_names:
    if _CLASSES.value is not None:
      raise app.UsageError('--classes: this model knows no classes.')
    return None
  every = list(range(model.flow.num_classes))
  if _CLASSES.value in (None, ['all']):
    return every
  unknown = [name for name in _CLASSES.value if name not in map(str, every)]
  if unknown:
    raise app.UsageError(
        f'--classes: {unknown[0]!r} is none of 0 .. {len(every) - 1}.')
  return [int(name) for name in _CLASSES.value]


if __name__ == '__main__':
  command.run(main)
