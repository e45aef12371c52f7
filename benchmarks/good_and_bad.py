"""Pictures of a training run that goes well, and of those that do not.

```shell
python -m benchmarks.good_and_bad [--quick] --output docs/your-images
```

trains small Glows on scikit-learn's digits and on cartoon faces, each but the
first with one thing wrong, and writes into the folder

```none
samples_NAME.png   samples of each run
curves.png         bits/dim over the steps of training
runs.json          bits/dim and the latents' statistics at the end
```

It takes some minutes on two cores, and no network.
"""

import json
import pathlib
import sys
import tempfile

from matplotlib import figure
import tensorflow as tf

from benchmarks import command
from training import config as config_lib
from training import metrics
from training import pictures
from training import sample
from training import train

_STEPS = 600
_COLUMNS = 10
# What differs from the good run: name, data set, fields of the recipe.
RUNS = {
    'good': ('digits', {}),
    'stopped_early': ('digits', {'steps': 20}),
    'long_warm_up': ('digits', {'optimizer.warmup_images': 10_000_000}),
    'over_fitting': ('digits', {
        'data.train_split': 'train[:100]', 'data.shift': None}),
    'faces': ('faces/32x32_500', {}),
    'one_level': ('faces/32x32_500', {'model.levels': 1, 'model.steps': 12}),
}
# Samples that one run is drawn at, besides those at 0.7.
TEMPERATURES = {
    'good': {'samples_cold.png': .1, 'samples_hot.png': 3.},
}
_MEASURED = ('train_bits_per_dim', 'eval_bits_per_dim')


def recipe(name, steps=_STEPS):
  """The fields of a run.

  Args:
    name: Python `str`, one of `RUNS`.
    steps: Python `int`, of training. Default value: `600`.

  Returns:
    config: `ml_collections.ConfigDict`; see `training.config.get_config`.
  """
  data, changes = RUNS[name]
  config = config_lib.get_config('glow')
  on_digits = data == 'digits'
  config.data.update(name=data, shift=(0, 1) if on_digits else None)
  config.model.update(
      levels=2 if on_digits else 3, steps=4, width=32,
      num_bits=4 if on_digits else 5)
  config.optimizer.update(
      learning_rate=2e-3, warmup_images=3200, schedule='cosine', clip=50.)
  config.update(
      batch_size=32, steps=steps, eval_every=max(1, steps // 6),
      checkpoint_every=max(1, steps // 6), eval_images=200,
      temperatures=(.7,))
  config.update_from_flattened_dict(changes)
  config.steps = min(config.steps, steps)
  return config


def run(name, steps, output):
  """Trains a run and draws its samples.

  Args:
    name: Python `str`, one of `RUNS`.
    steps: Python `int`, of training.
    output: `pathlib.Path`, folder of the pictures.

  Returns:
    lines: What was measured, as `metrics.read` gives it.
  """
  with tempfile.TemporaryDirectory() as workdir:
    model = train.train(recipe(name, steps), workdir)
    lines = metrics.read(workdir)
  files = {f'samples_{name}.png': .7, **TEMPERATURES.get(name, {})}
  for file, temperature in files.items():
    rows, _ = sample.draw(model, [temperature], None, 2, _COLUMNS, seed=0)
    pictures.save_grid(output / file, rows, min_cell=48)
  return lines


def draw(measured):
  """Curves of the runs on digits.

  Args:
    measured: `dict` from names of runs to the lines of their metrics.

  Returns:
    drawn: `matplotlib.figure.Figure`.
  """
  names = [name for name in ('good', 'long_warm_up', 'over_fitting')
           if name in measured]
  drawn = figure.Figure(figsize=(10, 3.2), layout='constrained', dpi=100)
  for axes, name in zip(drawn.subplots(1, len(names), squeeze=False)[0], names):
    for field, label in zip(_MEASURED, ('trained on', 'held out')):
      points = [(line['step'], line[field]) for line in measured[name]
                if line.get(field) is not None]
      axes.plot(*zip(*points), 'o-', label=label)
    axes.set(title=name.replace('_', ' '), xlabel='step', ylabel='bits/dim')
    axes.grid(alpha=.3)
    axes.legend()
  return drawn


def summary(lines):
  """What a run ended with.

  Args:
    lines: What `run` returns.

  Returns:
    summary: `dict` of the last value of each that was measured.
  """
  last = {}
  for line in lines:
    last.update({key: value for key, value in line.items()
                 if key in _MEASURED or key == 'step' or
                 key.startswith('latent_')})
  last['lowest_eval_bits_per_dim'] = min(
      line['eval_bits_per_dim'] for line in lines
      if line.get('eval_bits_per_dim') is not None)
  return last


def markdown(summaries):
  """Summaries of the runs on digits as a Markdown table."""
  lines = ["| run | bits/dim, trained on | held out | latents' std, level 0 | "
           'level 1 |', '| --- ' * 5 + '|']
  for name, (data, _) in RUNS.items():
    if data == 'digits' and name in summaries:
      values = [summaries[name][field]
                for field in (*_MEASURED, 'latent_std_0', 'latent_std_1')]
      lines.append('| ' + ' | '.join([
          name.replace('_', ' '), *(f'{value:.2f}' for value in values)]) +
                   ' |')
  return '\n'.join(lines)


def main(argv=None):
  """Trains, draws and writes.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.good_and_bad', __doc__)
  parser.add_argument('--output', type=pathlib.Path, required=True,
                      help='folder of the pictures')
  parser.add_argument('--quick', action='store_true',
                      help='two steps of two runs, to see that it works')
  args = parser.parse_args(argv)
  args.output.mkdir(parents=True, exist_ok=True)
  names = ('good', 'over_fitting') if args.quick else RUNS
  measured = {name: run(name, 2 if args.quick else _STEPS, args.output)
              for name in names}
  draw(measured).savefig(args.output / 'curves.png')
  (args.output / 'runs.json').write_text(json.dumps(
      {name: summary(lines) for name, lines in measured.items()}, indent=1
  ) + '\n')
  return 0


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
