"""The numbers of a run, as lines of JSON and for TensorBoard."""

import json
import math
import os
import pathlib

import numpy as np
from PIL import Image
import tensorflow as tf


class Log:
  """Writes `metrics.jsonl`, a line a step, and TensorBoard's event files."""

  def __init__(self, workdir, step):
    """Opens the log of a run that goes on at a step.

    Lines of later steps, which a run that was stopped had come to, go: those
    steps are about to be done again.

    Args:
      workdir: Python `str`, the working folder.
      step: Python `int`, steps that have been trained.
    """
    self._path = pathlib.Path(workdir) / 'metrics.jsonl'
    lines = [line for line in read(workdir) if step and line['step'] <= step]
    temporary = self._path.with_suffix('.tmp')
    temporary.write_text(''.join(as_json(line) + '\n' for line in lines))
    os.replace(temporary, self._path)
    self._writer = tf.summary.create_file_writer(
        str(pathlib.Path(workdir) / 'tensorboard'))

  def scalars(self, step, values):
    """Writes numbers by name."""
    values = {name: float(value) for name, value in values.items()}
    with self._path.open('a') as file:
      file.write(as_json({'step': step, **values}) + '\n')
    with self._writer.as_default(step):
      for name, value in values.items():
        tf.summary.scalar(name, value)
    self._writer.flush()

  def image(self, step, name, path):
    """Shows a picture that has been saved."""
    pixels = np.asarray(Image.open(path).convert('RGB'))
    with self._writer.as_default(step):
      tf.summary.image(name, pixels[None])
    self._writer.flush()


def read(workdir):
  """The lines of a run's `metrics.jsonl`, each a `dict`; none if not there.

  A last line that a killed process has left unfinished is not among them.
  """
  path = pathlib.Path(workdir) / 'metrics.jsonl'
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines(True)
          if line.endswith('\n')]


def as_json(values):
  """A line of JSON, which has no word but null for what is not finite."""
  values = {name: None if isinstance(value, float) and not math.isfinite(value)
            else value for name, value in values.items()}
  return json.dumps(values)
