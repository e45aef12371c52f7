r"""What the settings of a recipe cost, each changed alone.

```shell
python -m benchmarks.settings --config glow_mnist [--data npz:mnist.npz] \
    [--with model.steps=8 steps=600] \
    --change model.width=32 model.preprocessing=centered [--json FILE]
python -m benchmarks.settings --markdown FILE
```

trains a recipe of `training/configs/` with the fields of `--with`, then again
with each field of `--change` in turn, and prints bits/dim of held-out images.
Changes that belong together are joined with commas: `model.steps=16,steps=300`.
`--markdown` prints the table of a file that `--json` wrote.
"""

import ast
import importlib
import json
import sys
import tempfile

import tensorflow as tf

from benchmarks import command
from training import metrics
from training import train

_AS_IT_IS = 'as it is'


def fields(changes):
  """Values of fields, by name.

  Args:
    changes: List of Python `str`, `'model.width=32'` or several with commas.

  Returns:
    fields: `dict`.

  Raises:
    ValueError: If one has no `=`.
  """
  values = {}
  for change in ','.join(changes).split(','):
    name, equals, value = change.partition('=')
    if not equals:
      raise ValueError(f'{change!r} is given, but FIELD=VALUE is needed.')
    try:
      values[name] = ast.literal_eval(value)
    except (ValueError, SyntaxError):  # a word
      values[name] = value
  return values


def measure(recipe, given):
  """Trains a recipe once, and measures it.

  Args:
    recipe: Python `str`, the name of a file in `training/configs/`.
    given: `dict` of fields in place of the recipe's.

  Returns:
    row: `dict` of what was measured.
  """
  config = importlib.import_module(f'training.configs.{recipe}').get_config()
  config.update_from_flattened_dict(given)
  config.optimizer.warmup_images = min(
      config.optimizer.warmup_images, config.batch_size * config.steps // 6)
  config.update(eval_every=config.steps, checkpoint_every=config.steps,
                deterministic=False)
  with tempfile.TemporaryDirectory() as folder:
    weights = train.train(config, folder).count_params()
    last = metrics.read(folder)[-1]
  return {'steps': config.steps, 'weights': weights,
          'bits_per_dim': last['eval_bits_per_dim'],
          'standard_error': last['eval_bits_per_dim_error']}


def markdown(rows):
  """Rows as a Markdown table."""
  lines = ['| changed | steps | weights | bits/dim |', '| --- ' * 4 + '|']
  lines += [
      f'| {row["changed"]} | {row["steps"]:,} | {row["weights"]:,} | '
      f'{row["bits_per_dim"]:.3f} +- {row["standard_error"]:.3f} |'
      for row in rows]
  return '\n'.join(lines)


def main(argv=None):
  """Trains, prints the table, and writes what was asked for.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.settings', __doc__)
  parser.add_argument('--config', help='name of a recipe')
  parser.add_argument('--data', help='a data set, as --config.data.name')
  parser.add_argument('--with', dest='base', nargs='*', default=[],
                      metavar='FIELD=VALUE', help='fields of every run')
  parser.add_argument('--change', nargs='*', default=[],
                      metavar='FIELD=VALUE', help='one run for each')
  command.add_files(parser)
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown(json.loads(args.markdown.read_text())))
    return 0
  if not args.config:
    parser.error('--config is needed, or --markdown')
  base = fields(args.base) if args.base else {}
  if args.data:
    base['data.name'] = args.data
  rows = []
  for change in ['', *args.change]:
    given = {**base, **(fields([change]) if change else {})}
    row = measure(args.config, given)
    rows.append({'changed': f'`{change}`' if change else _AS_IT_IS, **row})
    print(markdown(rows).splitlines()[-1], flush=True)
    if args.json:
      args.json.write_text(json.dumps(rows, indent=1) + '\n')
  return 0


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
