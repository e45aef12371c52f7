"""Sampling beside the density, per image.

```shell
python -m benchmarks.sampling [--quick] [--rounds 15] [--json FILE]
```

Glow on 32x32x3 with 3 levels, 4 steps, width 64, and batches of 32.
"""

import sys

from benchmarks import command
from benchmarks import pairs
from benchmarks import steps


def measure(quick, rounds, normflows=None):
  """Yields the rows; see `train_step.measure`."""
  del normflows
  num_steps, width, batch = (1, 8, 4) if quick else (4, 64, 32)
  distribution = steps.our_glow(num_steps, width)
  yield pairs.row('sample', 'log_prob', pairs.in_turn(
      steps.sample(distribution, batch),
      steps.log_prob(distribution, batch), rounds), goal=1.1)


def main(argv=None):
  """Prints the table."""
  return command.main(__spec__.name, __doc__, measure, argv)


if __name__ == '__main__':
  sys.exit(main())
