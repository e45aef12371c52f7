"""Trains a Glow on cartoon faces, looks at it, and exports it.

Run from the repository: `python -m training.demo` (or `make demo`). It runs the
commands that it prints, and sums up what they say.
"""

import concurrent.futures
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
import tqdm

from training import command
from training import groups
from training import metrics
from training import processes
from training import runs

_RECIPE = 'training/configs/faces.py'
_ATTRIBUTES = ('smile', 'glasses', 'beard')


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
  train = ('train', f'--config={_RECIPE}', folder, *overrides)
  _show(train)
  _run(*train)
  # Side by side: each of these keeps one core busy.
  measured, _ = _run_all([
      [('evaluate', folder, '--histogram'), ('interpolate', folder),
       ('sample', folder, '--seed=0'), ('curve', folder)],
      [('manipulate', folder, f'--attribute={",".join(_ATTRIBUTES)}',
        '--strengths=0,0.5,1,1.5,2'),
       ('export', folder, '--examples=128',
        *(f'--direction={name}={workdir}/{name}.npy' for name in _ATTRIBUTES)),
       ('levels', folder)]])
  summary = {
      'bits_per_dim_before': metrics.read(workdir)[0]['eval_bits_per_dim'],
      **json.loads(measured[0]),
      'export_difference': _check_export(workdir),
      'seconds': time.monotonic() - start,
  }
  _summarise(summary, workdir)
  return summary


def _run(name, *arguments):
  """What a command printed; it has told of an error itself."""
  result = processes.run(f'training.{name}', *arguments)
  if result.returncode:
    raise ChildProcessError(
        f'training.{name} ended with status {result.returncode}.')
  return result.stdout


def _show(words):
  name, *arguments = words
  tqdm.tqdm.write(f'\n$ python -m training.{name} {shlex.join(arguments)}')
  sys.stdout.flush()


def _run_all(lanes):
  """Runs lanes of commands side by side; what each command printed."""
  progress = tqdm.tqdm(
      total=sum(len(lane) for lane in lanes), unit=' commands',
      desc='Measuring, drawing, exporting', disable=None)

  def run_lane(lane):
    outputs = []
    for arguments in lane:
      outputs.append(_run(*arguments))
      _show(arguments)
      tqdm.tqdm.write(outputs[-1], end='')
      progress.update()
    return outputs

  with progress, concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
    return list(pool.map(run_lane, lanes))


def _check_export(workdir):
  """The largest difference that a process without tfp_glow finds."""
  config, model = runs.load(workdir)
  batch = next(iter(groups.open_split(config, None).eval_batches(100)))
  with tempfile.TemporaryDirectory() as scratch:
    expected = pathlib.Path(scratch) / 'expected.npz'
    np.savez(expected, images=batch, log_prob=model.log_prob(batch))
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
Bits/dim of {summary['images']} held-out faces, lower is better:
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
  samples.png         faces that nobody drew, at three temperatures
  interpolation.png   from one real face to another
  attributes.png      real faces given a smile, glasses, a beard
  levels.png          real faces with some of the model's levels drawn anew
  learning_curve.png  bits/dim over the steps of training
  metrics.jsonl  pictures/  export/1
To play with it on a page:
  make studio MODEL={workdir}/export""")


if __name__ == '__main__':
  command.run(define_flags, main)
