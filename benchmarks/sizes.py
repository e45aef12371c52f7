"""Time and memory of training, by size of the images and of the model.

```shell
python -m benchmarks.sizes [--rounds 10] [--json FILE]
python -m benchmarks.sizes --markdown FILE
```

trains Glows of several sizes on random images by `FlowModel.fit`, each in a
process of its own, and prints for each: its weights, the seconds of the first
step, which traces, the median seconds of those after it, what 2,000 steps would
take, and the peak of the process's memory. `--markdown` prints the table of a
file that `--json` wrote.
"""

import json
import os
import statistics
import sys
import time

from benchmarks import command
from benchmarks import memory
from benchmarks import pairs
from benchmarks import start

# Height and width, channels, levels, steps, width, batch, memory.
SIZES = (
    (8, 1, 2, 8, 32, 100, 'store'),
    (32, 1, 3, 8, 64, 32, 'store'),
    (32, 3, 3, 8, 64, 32, 'store'),
    (32, 3, 3, 8, 64, 32, 'recompute'),
    (32, 3, 3, 16, 128, 32, 'recompute'),
    (64, 3, 4, 8, 64, 32, 'store'),
    (64, 3, 4, 8, 64, 32, 'recompute'),
    (128, 3, 5, 8, 64, 8, 'recompute'),
)
_STEPS = 2000


def measure(size, channels, levels, steps, width, batch, kept, rounds):
  """Trains one size in this process.

  Args:
    size: Python `int`, height and width of the images.
    channels: Python `int`.
    levels: Python `int`.
    steps: Python `int`, steps of flow a level.
    width: Python `int`, channels inside the networks.
    batch: Python `int`, images a step.
    kept: Python `str`, `'store'` or `'recompute'`.
    rounds: Python `int`, steps of training after the first.

  Returns:
    row: `dict` of the arguments and of what was measured.
  """
  import keras
  import numpy as np

  model, images = start.compiled_model(
      (size, size, channels), batch, levels=levels, steps=steps, width=width,
      memory=kept, scale='bounded')
  times = []

  class Clock(keras.callbacks.Callback):
    """Notes when each step ended."""

    def on_train_batch_end(self, step, logs=None):
      float(logs['loss'])  # waits for it
      times.append(time.perf_counter())

  began = time.perf_counter()
  repeated = np.concatenate([images] * (rounds + 1))
  model.fit(repeated, batch_size=batch, verbose=0, callbacks=[Clock()])
  return {
      'size': size, 'channels': channels, 'levels': levels, 'steps': steps,
      'width': width, 'batch': batch, 'memory': kept,
      'weights': int(model.count_params()),
      'first_step_seconds': times[0] - began,
      'step_seconds': statistics.median(
          after - before for before, after in zip(times, times[1:])),
      'peak_mebibytes': memory.status('VmHWM')}


def markdown(rows):
  """Rows as a Markdown table."""
  lines = [
      '| images | levels x steps, width | weights | `memory` | batch | '
      f'first step | a step | {_STEPS:,} steps | peak memory |',
      '| --- ' * 9 + '|']
  for row in rows:
    minutes = (row['first_step_seconds'] +
               (_STEPS - 1) * row['step_seconds']) / 60.
    lines.append('| ' + ' | '.join([
        f'{row["size"]}x{row["size"]}x{row["channels"]}',
        f'{row["levels"]} x {row["steps"]}, {row["width"]}',
        f'{row["weights"]:,}', f'`{row["memory"]}`', str(row['batch']),
        f'{row["first_step_seconds"]:.0f} s', f'{row["step_seconds"]:.2f} s',
        f'{minutes:.0f} min', f'{row["peak_mebibytes"] / 1024.:.1f} GiB',
    ]) + ' |')
  return '\n'.join(lines)


def main(argv=None):
  """Measures, prints the table, and writes what was asked for.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.sizes', __doc__)
  parser.add_argument('--rounds', type=int, default=10,
                      help='steps after the first; default: 10')
  command.add_files(parser)
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown(json.loads(args.markdown.read_text())['rows']))
    return 0
  rows = []
  for size in SIZES:
    rows.append(pairs.in_fresh_process(
        'benchmarks.sizes', 'measure', *size, args.rounds))
    print(markdown(rows[-1:]).splitlines()[-1], flush=True)
  if args.json:
    args.json.write_text(json.dumps(
        {'cores': os.cpu_count(), 'rows': rows}, indent=1) + '\n')
  return 0


if __name__ == '__main__':
  sys.exit(main())
