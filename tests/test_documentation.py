"""What the README and the pages of `docs/` say works."""

import contextlib

import numpy as np
import pytest

from tests import documentation

BY_NAME = {str(page.relative_to(documentation.ROOT)): page
           for page in documentation.PAGES}
# But the guide to serving, which takes a server: tests/serving/test_guide.py.
WITH_PYTHON = [
    name for name, page in BY_NAME.items() if name != 'docs/serving.md' and
    any(block.kind == 'python' for block in documentation.blocks(page))]
# Languages of blocks that are no code to run.
SHOWN = ('none', 'json')


def images(count=16, channels=3, seed=0):
  return np.random.default_rng(seed).integers(
      0, 256, (count, 8, 8, channels), dtype=np.uint8)


def given():
  """What pages take for given: data of the reader's own."""
  return {
      'images': images(),
      'labels': np.arange(16, dtype=np.int32) % 10,
      'smiling': images(4, seed=1),
      'not_smiling': images(4, seed=2),
      'outlines': images(channels=1).astype(np.float32) / 255.,
  }


@pytest.mark.parametrize('name', WITH_PYTHON)
def test_the_code_of_a_page_runs(name, tmp_path):
  with contextlib.chdir(tmp_path):
    documentation.run(BY_NAME[name], given())


@pytest.mark.parametrize('name', BY_NAME)
def test_every_block_is_run_or_says_why_not(name):
  for block in documentation.blocks(BY_NAME[name]):
    if block.how == 'run by ':
      assert (documentation.ROOT / block.why).is_file(), block
    elif block.how or block.kind in ('python', *SHOWN):
      continue
    else:
      assert block.kind == 'sh', block
      for words in documentation.commands(block):
        documentation.check(words)


@pytest.mark.parametrize('command, message', [
    ('python -m training.sample --workdir a --temperature_s 1',
     "Unknown command line flag 'temperature_s'"),
    ('python -m training.train --config training/configs/digits.py '
     '--workdir a --config.no_field=1', 'no_field'),
    ('python -m training.train --config training/configs/none.py --workdir a',
     'there is no recipe'),
    ('python -m training.nothing', 'No such file'),
    ('python -m benchmarks.stability --none', 'has no flag --none'),
    ('make none', 'has no none'), ('make studio NONE=1', 'has no NONE'),
    ("pip install '.[none]'", 'no extra none'), ('rm -rf a', 'no command'),
])
def test_what_is_no_command_is_seen(command, message):
  block = documentation.Block('sh', command, 0, '', '')
  words, = documentation.commands(block)
  with pytest.raises(Exception, match=message):
    documentation.check(words)
