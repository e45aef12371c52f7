"""The command line of the benchmarks."""

import argparse
import pathlib
import re

from benchmarks import pairs


def parser(name, description):
  """Makes the parser of a module's flags.

  Args:
    name: Python `str`, name of the module.
    description: Python `str`, its docstring, of which the first paragraph is
      shown.

  Returns:
    parser: `argparse.ArgumentParser`.
  """
  return argparse.ArgumentParser(
      prog=f'python -m {name}', description=description.split('\n\n')[0])


def add_json(flags):
  """Adds `--json`, of a file that figures are written to."""
  flags.add_argument('--json', type=pathlib.Path,
                     help='file to write the figures to as well')


def add_files(flags):
  """Adds `--json`, and `--markdown`, which prints such a file as a table."""
  add_json(flags)
  flags.add_argument('--markdown', type=pathlib.Path, metavar='JSON',
                     help='measure nothing: print this file as Markdown')


def main(name, description, measure, argv):
  """Measures ratios, prints a table, and writes what was asked for.

  Args:
    name: Python `str`, name of the module.
    description: Python `str`, its docstring.
    measure: Callable from `quick`, `rounds` and `normflows` to rows.
    argv: List of arguments, or `None`, those of the command line.

  Returns:
    status: `0`.
  """
  flags = parser(name, description)
  flags.add_argument('--quick', action='store_true',
                     help='small models, to see that it runs')
  flags.add_argument('--rounds', type=int, default=15, help='default: 15')
  flags.add_argument('--normflows', metavar='PYTHON',
                     help='an interpreter that has normflows')
  flags.add_argument('--plots', type=pathlib.Path,
                     help='folder for plots over depth')
  add_files(flags)
  args = flags.parse_args(argv)
  if args.markdown:
    print(pairs.markdown(pairs.read_json(args.markdown)))
    return 0
  print(pairs.header())
  rows = []
  for row in measure(args.quick, args.rounds, args.normflows):
    print(row, flush=True)
    rows.append(row)
  if args.json:
    pairs.write_json(args.json, rows, quick=args.quick, rounds=args.rounds)
  if args.plots:
    args.plots.mkdir(parents=True, exist_ok=True)
    draw(rows, args.plots)
  return 0


def draw(rows, folder):
  """Draws the figures that are over depth, each a file.

  Args:
    rows: List of `pairs.Row`. Those whose figures differ in `, N steps` alone
      are one plot.
    folder: `pathlib.Path` of the folder.
  """
  from matplotlib import figure

  series = {}
  for row in rows:
    name, steps = re.fullmatch(
        r'(.*?)(?:, (\d+) steps)?', row.figure).groups()
    if steps:
      against = re.sub(r', \d+ steps|^\d+ steps$', '', row.against)
      series.setdefault((name, against), []).append((int(steps), row))
  for (name, against), points in series.items():
    depths = [depth for depth, _ in points]
    drawing = figure.Figure(figsize=(5, 3.5), layout='constrained')
    axes = drawing.subplots()
    axes.plot(depths, [row.ours for _, row in points], 'o-', label='ours')
    if against:
      axes.plot(depths, [row.other for _, row in points], 's--',
                label=against)
    axes.set(xlabel='steps of flow in each level', title=name,
             ylabel=points[0][1].unit, ylim=(0., None), xticks=depths)
    axes.legend()
    drawing.savefig(
        folder / (re.sub(r'\W+', '_', f'{name} {against}').strip('_') +
                  '.png'), dpi=150)
