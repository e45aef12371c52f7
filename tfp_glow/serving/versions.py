"""A folder of numbered versions, each there whole or not at all."""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile

_UNFINISHED = '.export-'


def publish(directory, write):
  """Writes the next version into a folder that a server may be polling.

  It is written under a hidden name and then renamed, so that whatever happens
  before, `kill -9` included, leaves the earlier versions as they were. What
  that left behind goes with the next call. Calls for one folder wait for each
  other, across processes too.

  Args:
    directory: Path of the folder; it is made where there is none.
    write: Function of the path of an empty folder, which fills it.

  Returns:
    path: Python `str`, `directory/<version>`: one more than the largest number
      there, or 1.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  with _locked(directory):
    for unfinished in directory.glob(_UNFINISHED + '*'):
      shutil.rmtree(unfinished)
    versions = [int(path.name) for path in directory.iterdir()
                if re.fullmatch(r'[0-9]+', path.name)]
    path = directory / str(1 + max(versions, default=0))
    temporary = tempfile.mkdtemp(prefix=_UNFINISHED, dir=directory)
    try:
      write(temporary)
      os.chmod(temporary, 0o755)  # the server is another user, as a rule
      os.rename(temporary, path)
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
  return str(path)


@contextlib.contextmanager
def _locked(directory):
  """Holds a folder's lock, which the system frees when a process dies."""
  import fcntl  # Not on Windows, where the rest of the library needs none.
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)
