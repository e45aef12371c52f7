"""Memory of training, and what saving it costs.

```shell
python -m benchmarks.memory [--quick] [--rounds 15] [--json FILE] [--plots DIR]
```

Peak memory of a train step of Glow on 32x32x3 (3 levels, width 64, batch 32),
in a process of its own, above what that process has before it builds the
model, and of the whole process in the first step of `fit`, libraries and
tracing too; the time of a step with `memory='recompute'` beside `'store'`; and
the memory that a process has after 2,000 steps of `fit` beside what it had
after the first 200. `--plots` draws the peaks over depth.
"""

import gc
import pathlib
import sys

import numpy as np

from benchmarks import command
from benchmarks import pairs


def peak(memory, num_steps, width, batch_size):
  """MiB of the peak of two train steps, above the empty process.

  Args:
    memory: Python `str`, `'store'` or `'recompute'`.
    num_steps: Python `int`, steps of each of 3 levels.
    width: Python `int`, channels inside the networks.
    batch_size: Python `int`.

  Returns:
    mebibytes: Python `float`.
  """
  from benchmarks import steps

  before = status('VmRSS')
  run = steps.train_step(
      steps.our_glow(num_steps, width, memory), batch_size)
  run()
  run()
  return status('VmHWM') - before


def fit_peak(side, num_steps, width, batch_size):
  """MiB of the peak of a process that trains for a step.

  Args:
    side, num_steps, width, batch_size: As of `start.first_fit_step`.

  Returns:
    mebibytes: Python `float`.
  """
  from benchmarks import start

  start.fit_step(side, num_steps, width, batch_size)()
  return status('VmHWM')


def growth(num_steps, first, last):
  """MiB that a process has after `first` and after `last` steps of `fit`."""
  import keras

  from benchmarks import start

  model, images = start.compiled_model(
      (32, 32, 3), 64, levels=3, steps=num_steps, width=16)
  sizes = {}

  class Watch(keras.callbacks.Callback):
    """Looks after some steps."""

    def on_train_batch_end(self, batch, logs=None):
      if batch + 1 in (first, last):
        gc.collect()
        sizes[batch + 1] = status('VmRSS')

  repeated = np.resize(images, (8 * last, *images.shape[1:]))
  model.fit(repeated, batch_size=8, verbose=0, callbacks=[Watch()])
  return sizes[first], sizes[last]


def measure(quick, rounds, normflows=None):
  """Yields the rows; see `train_step.measure`."""
  del normflows
  num_processes = max(1, rounds // 5)
  width, batch = (8, 2) if quick else (64, 32)
  depths, deep = ((1, 2), 2) if quick else ((8, 16, 32, 64), 32)
  peaks = {(memory, depth): [] for memory in ('recompute', 'store')
           for depth in depths}
  for _ in range(num_processes):
    for memory, depth in peaks:
      peaks[memory, depth].append(pairs.in_fresh_process(
          'benchmarks.memory', 'peak', memory, depth, width, batch))
  for depth in depths[1:]:
    yield pairs.row(
        f'peak memory, recompute, {depth} steps', f'{depths[0]} steps',
        np.transpose([peaks['recompute', depth],
                      peaks['recompute', depths[0]]]),
        unit='MiB', goal=1.3 if depth == 64 else None)
  for depth in depths:
    yield pairs.row(
        f'peak memory, {depth} steps', f'stored, {depth} steps',
        np.transpose([peaks['recompute', depth], peaks['store', depth]]),
        unit='MiB', goal=.3 if depth == deep else None)

  for side, name in (('our_glow', ''), ('recompute', ', recompute')):
    yield pairs.row(
        f'peak of a process that trains{name}, {deep} steps',
        'tfb.Glow', [
            [pairs.in_fresh_process('benchmarks.memory', 'fit_peak', one,
                                    deep, width, batch)
             for one in (side, 'tfb_glow')] for _ in range(num_processes)],
        unit='MiB')

  from benchmarks import steps

  # Up to eight steps are unrolled, more are scanned over.
  for depth in (1,) if quick else (4, 8, 16):
    yield pairs.row(
        f'train step, recompute, {depth} steps', f'stored, {depth} steps',
        pairs.in_turn(
            *(steps.train_step(steps.our_glow(depth, width, memory), batch)
              for memory in ('recompute', 'store')), rounds), goal=1.35)
  first, last = (2, 4) if quick else (200, 2000)
  before, after = pairs.in_fresh_process(
      'benchmarks.memory', 'growth', 1 if quick else 4, first, last)
  yield pairs.row(
      f'memory after {last} steps of fit', f'after {first}',
      [[after, before]], unit='MiB', goal=1.01)


def status(name):
  """A size of this process, in MiB, from Linux."""
  for line in pathlib.Path('/proc/self/status').read_text().splitlines():
    if line.startswith(name + ':'):
      return int(line.split()[1]) / 1024.
  raise RuntimeError(f'/proc/self/status does not tell {name}.')


def main(argv=None):
  """Prints the table."""
  return command.main(__spec__.name, __doc__, measure, argv)


if __name__ == '__main__':
  sys.exit(main())
