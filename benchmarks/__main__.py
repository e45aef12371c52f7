"""All figures of speed and memory, one group after the other.

```shell
python -m benchmarks [--quick] [--rounds 15] [--normflows PYTHON]
                     [--json FILE] [--plots DIR] [--markdown JSON]
```

Each group is a command of its own as well: `python -m benchmarks.train_step`,
`.sampling`, `.serving`, `.start` and `.memory`. `--markdown` prints the table
of a file that `--json` wrote.
"""

import itertools
import sys

from benchmarks import command
from benchmarks import memory
from benchmarks import sampling
from benchmarks import serving
from benchmarks import start
from benchmarks import train_step

GROUPS = (train_step, sampling, serving, start, memory)


def measure(quick, rounds, normflows=None):
  """Yields the rows of all groups; see `train_step.measure`."""
  return itertools.chain.from_iterable(
      group.measure(quick, rounds, normflows) for group in GROUPS)


def main(argv=None):
  """Prints the table."""
  return command.main('benchmarks', __doc__, measure, argv)


if __name__ == '__main__':
  sys.exit(main())
