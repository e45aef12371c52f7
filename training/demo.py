"""Trains a Glow on handwritten digits, looks at it, and exports it.

Run from the repository: `python -m training.demo` (or `make demo`). It runs the
commands that it prints, and sums up what they say.
"""

import json
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from absl import flags
import numpy as np

from training import command
from training import data
from training import metrics
from training import runs

_RECIPE = 'training/configs/digits.py'


def define_flags():
  flags.DEFINE_string(
      'workdir', 'runs/demo', 'Where results go; those of an earlier run are '
      'replaced.')


def main(values):
  run(values.workdir)


def run(workdir, overrides=()):
  """Trains, measures, draws and exports.

  Args:
    workdir: Python `str`, where results go.
    overrides: Flags of `training.train`, fields of the recipe.
      Default value: `()`.

  Returns:
    summary: `dict` of Python numbers.
  """
  start = time.monotonic()
  if pathlib.Path(workdir).exists():
    shutil.rmtree(workdir)
  folder = f'--workdir={workdir}'
  _command('train', f'--config={_RECIPE}', folder, *overrides)
  measured = json.loads(
      _command('evaluate', folder, '--histogram', capture=True))
  _command('sample', folder, '--seed=0')
  _command('interpolate', folder)
  _command('export', folder)
  summary = {
      'bits_per_dim_before': metrics.read(workdir)[0]['eval_bits_per_dim'],
      **measured,
      'export_difference': _check_export(workdir),
      'seconds': time.monotonic() - start,
  }
  _summarise(summary, workdir)
  return summary


def _command(name, *arguments, capture=False):
  """Runs one of the commands, and returns what it printed if asked to."""
  words = ['-m', f'training.{name}', *arguments]
  print('\n$ python', shlex.join(words), flush=True)
  result = subprocess.run(
      [sys.executable, *words], check=True, text=True,
      stdout=subprocess.PIPE if capture else None)
  if capture:
    print(result.stdout, end='')
  return result.stdout


def _check_export(workdir):
  """The largest difference that a process without tfp_glow finds."""
  config, model = runs.load(workdir)
  images = next(iter(data.open(config.data).eval_batches(100)))[0].numpy()
  with tempfile.TemporaryDirectory() as scratch:
    expected = pathlib.Path(scratch) / 'expected.npz'
    np.savez(expected, images=images, log_prob=model.log_prob(images))
    script = pathlib.Path(__file__).with_name('check_export.py')
    # -P keeps this folder's modules out of that process's way.
    result = subprocess.run(
        [sys.executable, '-P', script, f'{workdir}/export/1', expected],
        capture_output=True, text=True)
  if result.returncode:
    raise RuntimeError(f'{script} failed:\n{result.stderr}')
  return float(result.stdout)


def _summarise(summary, workdir):
  print(f"""
Bits/dim of {summary['images']} held-out digits, lower is better:
  {summary['histogram_bits_per_dim']:.3f}  a histogram of each pixel
  {summary['bits_per_dim_before']:.3f}  Glow before training
  {summary['bits_per_dim']:.3f}  Glow after training
Largest reconstruction error, of a grey scale from 0 to 1: \
{summary['reconstruction_error']:.1e}
Images that come back exactly: {summary['images_reconstructed_exactly']} of \
{summary['images']}
Log-probabilities of the SavedModel, loaded by a process without tfp_glow:
  the same (largest difference {summary['export_difference']:.1e} nats)
Done in {summary['seconds']:.0f} s. In {workdir}:
  samples.png  interpolation.png  pictures/  metrics.jsonl  export/1""")


if __name__ == '__main__':
  command.run(define_flags, main)
