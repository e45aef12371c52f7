"""Ratios of two sides, measured in turn in one run, and tables of them."""

import dataclasses
import json
import platform
import subprocess
import sys
import time

import numpy as np

_COLUMNS = '{:<34} {:<34} {:>11} {:>11} {:>6} {:>15} {:>9}'


@dataclasses.dataclass(frozen=True)
class Row:
  """A ratio, and what it is made of.

  Attributes:
    figure: Python `str`, what is measured.
    against: Python `str`, what it is measured against.
    unit: Python `str`, of the two medians: `'ms'`, `'s'` or `'MiB'`.
    ours: Python `float`, median of our side.
    other: Python `float`, median of the other side.
    ratio: Python `float`, median over the rounds of the ratio within a round.
    quartiles: Pair of Python `float`, the quartiles of those ratios.
    goal: Python `float` or `None`, what the ratio is to be at most.
  """

  figure: str
  against: str
  unit: str
  ours: float
  other: float
  ratio: float
  quartiles: tuple[float, float]
  goal: float | None = None

  def cells(self):
    """The row as strings."""
    low, high = self.quartiles
    goal = '' if self.goal is None else f'{self.goal:.2f}'
    if self.goal is not None:
      goal += '  met' if self.ratio <= self.goal else ' MISS'
    return [self.figure, self.against, f'{self.ours:.4g} {self.unit}',
            f'{self.other:.4g} {self.unit}', f'{self.ratio:.2f}',
            f'{low:.2f} .. {high:.2f}', goal]

  def __str__(self):
    return _COLUMNS.format(*self.cells())


def header():
  """The head of a table of rows."""
  return _COLUMNS.format('figure', 'against', 'ours', 'other', 'ratio',
                         'quartiles', 'at most')


def row(figure, against, pairs, unit='ms', goal=None):
  """Makes a row of measured pairs.

  Args:
    figure: Python `str`, what is measured.
    against: Python `str`, what it is measured against.
    pairs: Array `[rounds, 2]`, our side first, in `unit`.
    unit: Python `str`. Default value: `'ms'`.
    goal: Python `float`, what the ratio is to be at most. Default value:
      `None`.

  Returns:
    row: `Row`.
  """
  pairs = np.asarray(pairs, float)
  ours, other = np.median(pairs, axis=0)
  low, ratio, high = np.percentile(pairs[:, 0] / pairs[:, 1], [25, 50, 75])
  return Row(figure, against, unit, float(ours), float(other), float(ratio),
             (float(low), float(high)), goal)


def in_turn(ours, other, rounds, clock=time.perf_counter):
  """Times two functions, one after the other, again and again.

  Args:
    ours: Function without arguments that returns when it is done.
    other: Such a function.
    rounds: Python `int`.
    clock: Function that gives the time in seconds. Default value:
      `time.perf_counter`.

  Returns:
    pairs: Array `[rounds, 2]` of milliseconds, our side first.
  """
  sides = (ours, other)
  for side in sides * 2:
    side()  # traces, compiles and warms up
  pairs = np.zeros([rounds, 2])
  for number in range(rounds):
    # Whichever is first may find the caches cold.
    for k in (0, 1) if number % 2 else (1, 0):
      start = clock()
      sides[k]()
      pairs[number, k] = 1e3 * (clock() - start)
  return pairs


def in_fresh_process(module, function, *args, python=None):
  """Calls a function of a benchmark in a process of its own.

  Args:
    module: Python `str`, name of the module.
    function: Python `str`, name of the function, whose result JSON can tell.
    *args: Its arguments, which JSON can tell.
    python: Path of the interpreter. Default value: `None`, this one.

  Returns:
    result: What the function returned.

  Raises:
    RuntimeError: If the process failed; the message has what it said.
  """
  code = (f'import json, sys; from {module} import {function} as f; '
          'print(json.dumps(f(*json.loads(sys.argv[1]))))')
  done = subprocess.run(
      [python or sys.executable, '-c', code, json.dumps(args)],
      capture_output=True, text=True, check=False)
  if done.returncode:
    raise RuntimeError(f'{module}.{function}{args} failed:\n{done.stderr}')
  return json.loads(done.stdout.splitlines()[-1])


class Worker:
  """A process that runs one function whenever it is told to.

  For a side that cannot be in the process of the other: it waits meanwhile.
  """

  def __init__(self, module, function, *args, python=None):
    """Starts the process.

    Args:
      module: Python `str`, name of the module.
      function: Python `str`, name of the function that, called with `args`,
        gives a function without arguments.
      *args: Arguments, which JSON can tell.
      python: Path of the interpreter. Default value: `None`, this one.
    """
    code = (f'import json, sys; from {module} import {function} as f; '
            'run = f(*json.loads(sys.argv[1]))\n'
            'for line in sys.stdin: run(); print("done", flush=True)')
    self._process = subprocess.Popen(
        [python or sys.executable, '-c', code, json.dumps(args)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

  def __call__(self):
    """Runs the function once, and returns when it is done."""
    self._process.stdin.write('run\n')
    self._process.stdin.flush()
    for line in self._process.stdout:
      if line == 'done\n':
        return
    raise RuntimeError(
        f'The worker ended with status {self._process.wait()}.')

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    self._process.stdout.close()
    self._process.wait()


def write_json(path, rows, **settings):
  """Writes rows, and where and how they were measured, to a file."""
  content = {
      'machine': platform.machine(), 'python': platform.python_version(),
      **settings, 'rows': [dataclasses.asdict(one) for one in rows]}
  path.write_text(json.dumps(content, indent=1) + '\n')


def read_json(path):
  """The rows of a file that `write_json` wrote."""
  return [Row(**{**one, 'quartiles': tuple(one['quartiles'])})
          for one in json.loads(path.read_text())['rows']]


def markdown(rows):
  """Rows as a Markdown table."""
  lines = ['| figure | against | ratio | quartiles | goal |',
           '| --- | --- | --- | --- | --- |']
  for one in rows:
    figure, against, _, _, ratio, quartiles, _ = one.cells()
    goal = '' if one.goal is None else f'at most {one.goal:.2f}'
    lines.append(f'| {figure} | {against} | {ratio} | {quartiles} | {goal} |')
  return '\n'.join(lines)
