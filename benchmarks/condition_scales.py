"""What becomes of a condition at levels smaller than the image: three ways.

```shell
python -m benchmarks.condition_scales [--steps 300] [--json FILE]
python -m benchmarks.condition_scales --markdown FILE
```

trains Glows on faces, told their grey values, or the means of 4x4 pixels, and
prints bits/dim of 500 held-out ones: with maps squeezed at every level, as the
library does it; squeezed once and then averaged; and averaged at every level.
`--markdown` prints the table of a file that `--json` wrote.
"""

import json
import sys
import tempfile
from unittest import mock

import tensorflow as tf

from benchmarks import command
from tfp_glow.bijectors import squeeze
from tfp_glow.flows import multiscale_flow
from training import metrics
from training import train
from training.configs import faces

CONDITIONS = {'grey': 1, 'downsample:4': 3}
WAYS = ('squeezed at every level', 'squeezed once, then averaged',
        'averaged at every level')
_NONE = 'without a condition'


def measure(steps, condition=None, way=WAYS[0]):
  """Trains one Glow, and measures it.

  Args:
    steps: Python `int`.
    condition: Python `str`, a key of `CONDITIONS`, or `None`.
    way: Python `str`, one of `WAYS`.

  Returns:
    row: `dict` of what was measured.
  """
  config = faces.get_config()
  config.data.condition = condition
  config.optimizer.warmup_images = 32 * max(1, steps // 3)
  config.update(steps=steps, eval_every=steps, checkpoint_every=steps,
                eval_images=500, temperatures=(.7,), deterministic=False)
  # No option of the library: what is compared is not kept.
  with mock.patch.object(
      squeeze.Squeeze, 'pass_feature_map', _passing(condition, way)
  ), mock.patch.object(multiscale_flow, 'condition_shapes', _shapes(way)
                       ), tempfile.TemporaryDirectory() as folder:
    weights = train.train(config, folder).count_params()
    last = metrics.read(folder)[-1]
  return {'condition': condition, 'way': way if condition else _NONE,
          'steps': steps, 'weights': weights,
          'bits_per_dim': last['eval_bits_per_dim'],
          'standard_error': last['eval_bits_per_dim_error']}


def _passing(condition, way):
  """What takes the place of `Squeeze.pass_feature_map`."""
  squeezed = squeeze.Squeeze.pass_feature_map

  def pass_feature_map(self, maps):
    is_whole = maps.shape[-1] == CONDITIONS.get(condition)
    if way == WAYS[0] or (way == WAYS[1] and is_whole):
      return squeezed(self, maps)
    return tf.nn.avg_pool2d(maps, 2, 2, 'VALID')

  return pass_feature_map


def _shapes(way):
  """What takes the place of `multiscale_flow.condition_shapes`."""

  def shapes(config, shape, squeezes):
    channels = config['feature_map_channels']
    factor = dict(zip(WAYS, (4**squeezes, 4, 1)))[way]
    return [] if channels is None else [(None, *shape[:2], channels * factor)]

  return shapes


def markdown(rows):
  """Rows as a Markdown table."""
  bits = {(row['way'], row['condition']): row['bits_per_dim'] for row in rows}
  lines = ['| | ' + ' | '.join(f'`{name}`' for name in CONDITIONS) + ' |',
           '| --- ' * (1 + len(CONDITIONS)) + '|']
  for way in WAYS:
    lines.append(f'| {way} | ' + ' | '.join(
        f'{bits[way, name]:.3f}' for name in CONDITIONS) + ' |')
  return '\n'.join(lines)


def main(argv=None):
  """Trains, and prints the table.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.condition_scales', __doc__)
  parser.add_argument('--steps', type=int, default=300, help='default: 300')
  command.add_files(parser)
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown(json.loads(args.markdown.read_text())))
    return 0
  rows = [measure(args.steps)]
  rows += [measure(args.steps, condition, way)
           for condition in CONDITIONS for way in WAYS]
  print(f'{_NONE}: {rows[0]["bits_per_dim"]:.3f} +- '
        f'{rows[0]["standard_error"]:.3f}')
  print(markdown(rows))
  if args.json:
    args.json.write_text(json.dumps(rows, indent=1) + '\n')
  return 0


if __name__ == '__main__':
  sys.exit(main())
