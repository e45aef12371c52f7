"""TensorFlow's greeting is gone, and nothing else is."""

import os
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
FILTERED = """
import os
import re
from training import startup
with startup._filtered_stderr([re.compile(rb'I0000 ')]):
  os.write(2, b'I0000 hello\\nE0000 broken\\nI0000 again\\nTraceback')
  {end}
os.write(2, b'I0000 after\\n')
"""


def run(script, **environment):
  return subprocess.run(
      [sys.executable, '-c', script], cwd=REPOSITORY, capture_output=True,
      text=True, env={**os.environ, **environment})


def test_a_command_starts_without_a_word():
  environment = {key: value for key, value in os.environ.items()
                 if key != 'TF_CPP_MIN_LOG_LEVEL'}
  result = subprocess.run(
      [sys.executable, '-c', 'import training, tensorflow as tf;'
       'print(float(tf.add(1., 1.)))'],
      cwd=REPOSITORY, capture_output=True, text=True, env=environment)
  assert (result.stdout, result.stderr) == ('2.0\n', '')


@pytest.mark.parametrize('end, code, after', [
    ('pass', 0, 'I0000 after\n'),
    ('os.abort()', -6, ''),
    ('os._exit(3)', 3, '')])
def test_other_lines_are_told_even_if_the_process_ends(end, code, after):
  script = FILTERED.format(end=end).replace(
      'from training', 'import sys; sys.modules["tensorflow"] = None; '
      'from training')
  result = run(script)
  assert result.returncode == code
  assert result.stderr == 'E0000 broken\nTraceback' + after


@pytest.mark.slow
def test_the_log_is_whole_where_it_is_asked_for():
  result = run(
      'import training, tensorflow', TF_CPP_MIN_LOG_LEVEL='0')
  assert 'I0000 ' in result.stderr
