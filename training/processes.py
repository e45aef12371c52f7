"""Commands in processes of their own, without waiting for TensorFlow each time.

A server process imports, once, what the commands import; each command runs in
a fork of it, as `python -m training.NAME` would.
"""

import gc
import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
import threading
from typing import NamedTuple

from training import startup

_CONTEXT = multiprocessing.get_context('forkserver')
# No operation runs while they are imported: TensorFlow cannot be forked later.
_CONTEXT.set_forkserver_preload([
    'training', 'tensorflow_datasets', 'matplotlib.pyplot', 'sklearn.svm',
    'tensorflow_probability.python.bijectors',
    'tensorflow_probability.python.distributions', 'tfp_glow',
    'training.command', 'training.train'])
_STARTING = threading.Lock()


class Result(NamedTuple):
  """What a command left: its exit status, and what it printed."""

  returncode: int
  stdout: str
  stderr: str


def run(module, *arguments, environment=(), capture_errors=False):
  """Runs a module to its end.

  Args:
    module: Python `str`, e.g. `'training.sample'`.
    *arguments: Its arguments, turned into `str`.
    environment: Mapping or pairs, variables to be set. Default value: `()`.
    capture_errors: Python `bool`, whether standard error is kept rather than
      shown. Default value: `False`.

  Returns:
    result: `Result`; without `capture_errors`, `stderr` is empty.
  """
  with tempfile.TemporaryDirectory() as folder:
    output, errors = (pathlib.Path(folder, name) for name in ('out', 'err'))
    process = start(
        module, *arguments, environment=environment, output=output,
        errors=errors if capture_errors else None)
    process.join()
    return Result(process.exitcode, output.read_text(),
                  errors.read_text() if capture_errors else '')


def start(module, *arguments, environment=(), output=None, errors=None):
  """Starts a module, as `run` does, and does not wait for it.

  Args:
    module, *arguments, environment: As of `run`.
    output: Path of the file that standard output is written to.
      Default value: `None`, that of this process.
    errors: The same of standard error; it may be the same file.

  Returns:
    process: `multiprocessing.Process`.
  """
  process = _CONTEXT.Process(target=_main, args=(
      module, [str(argument) for argument in arguments], dict(environment),
      output, errors))
  with _STARTING:
    os.environ[startup.FORK_SERVER] = '1'
    try:
      process.start()  # and the server, the first time
    finally:
      del os.environ[startup.FORK_SERVER]
  return process


def _main(module, arguments, environment, output, errors):
  os.environ.pop(startup.FORK_SERVER, None)
  # What is imported stays, and need not be looked through for garbage.
  gc.freeze()
  os.environ.update(environment)
  for path, number in ((output, 1), (errors, 2)):
    if path is not None:
      # Appended to, so that both may be one file.
      file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
      os.dup2(file, number)
      os.close(file)
  startup.find_gpus()
  sys.argv[1:] = arguments
  # It is to be run, whoever has imported it.
  sys.modules.pop(module, None)
  runpy.run_module(module, run_name='__main__', alter_sys=True)
