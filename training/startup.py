"""Imports TensorFlow without what it says of itself in every process.

TensorFlow writes some lines before it reads `TF_CPP_MIN_LOG_LEVEL`, so that no
level silences them. Here they pass through a filter that obeys the level and
lets everything else through, even if the import ends the process.
"""

import contextlib
import glob
import os
import re
import sys

# Set in a process that is to be forked. It leaves devices alone, as CUDA does
# not survive that: its forks look for them.
FORK_SERVER = 'TRAINING_FORK_SERVER'
_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
_GREETING = re.compile(rb'I0000 |WARNING: All log messages before absl::Init')
_NO_GPU = re.compile(rb'E0000 .*failed call to cuInit')


def import_tensorflow():
  """Imports it, unless it has been or its log is wanted whole (level 0)."""
  level = os.environ.setdefault(_LEVEL, '2')
  if 'tensorflow' in sys.modules or level == '0':
    return
  with _filtered_stderr([_GREETING]):
    import tensorflow  # noqa: F401
  if FORK_SERVER not in os.environ:
    find_gpus()


def find_gpus():
  """Looks for GPUs, and says so if there is one that TensorFlow cannot use."""
  if os.environ.get(_LEVEL) == '0':
    return  # TensorFlow tells itself
  import tensorflow as tf
  has_gpu = bool(glob.glob('/dev/nvidia[0-9]*'))
  with _filtered_stderr([_GREETING] if has_gpu else [_GREETING, _NO_GPU]):
    gpus = tf.config.list_physical_devices('GPU')
  if has_gpu and not gpus:
    print('There is an NVIDIA GPU, but TensorFlow does not find it and runs on '
          "the CPU: pip install '.[gpu]' brings CUDA, and TF_CPP_MIN_LOG_LEVEL="
          '0 shows what TensorFlow says.', file=sys.stderr)


@contextlib.contextmanager
def _filtered_stderr(patterns):
  """Drops lines that begin like one of the patterns from file descriptor 2."""
  try:
    stderr = os.dup(2)
  except OSError:  # closed
    yield
    return
  reader, writer = os.pipe()
  sys.stderr.flush()
  # Not a thread, which would die with the process and what it has to say.
  child = os.fork()
  if child == 0:
    os.close(writer)
    with os.fdopen(reader, 'rb') as lines:
      for line in lines:
        if not any(pattern.match(line) for pattern in patterns):
          os.write(stderr, line)
    os._exit(0)
  os.close(reader)
  os.dup2(writer, 2)
  os.close(writer)
  try:
    yield
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)
    os.waitpid(child, 0)
