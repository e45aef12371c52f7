"""What `docs/unusual-images.md` says works."""

import json
import pathlib
import re
import shlex

import pytest

from training import config

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = (ROOT / 'docs' / 'unusual-images.md').read_text()
BLOCKS = re.findall(r'^```(\w+)\n(.*?)^```$', GUIDE, re.MULTILINE | re.DOTALL)


def test_the_code_runs(capsys):
  names = {}
  for kind, code in BLOCKS:
    if kind == 'python':
      exec(code, names)
  _, patched = names['corners']
  assert patched[0, 0] > 1.5 * max(patched[0, 1], *patched[1])
  assert capsys.readouterr().out


@pytest.mark.parametrize('command', [
    line for kind, code in BLOCKS if kind == 'sh'
    for line in code.replace('\\\n', '').splitlines()])
def test_the_commands_have_their_flags(command):
  _, _, module, *arguments = shlex.split(command)
  source = (ROOT / f'{module.replace(".", "/")}.py').read_text()
  for argument in arguments:
    name = argument.partition('=')[0]
    if name.startswith('--config.'):
      assert name.split('.')[-1] in str(config.get_config()), name
    elif name.startswith('--') and name != '--config':
      assert (f"'{name[2:]}'" in source
              or f'define_{name[2:]}()' in source
              or name == '--output' and 'define_folder()' in source), name


def test_the_figures_are_those_that_were_measured():
  paths = sorted((ROOT / 'docs' / 'unusual-images').glob('*.json'))
  assert paths
  for path in paths:
    measured = json.loads(path.read_text())
    assert path.with_suffix('.png').exists()
    assert f'(unusual-images/{path.stem}.png)' in GUIDE
    for steps in {'steps', 'background_steps'} & set(measured):
      assert f'{measured[steps]} steps' in GUIDE
    for method, area in measured['auroc'].items():
      good, bad = (measured['median'][group][method]
                   for group in ('good', 'bad'))
      assert (f'| `{method}` | {area["auroc"]:.3f} | {area["low"]:.3f} to '
              f'{area["high"]:.3f} | {good:.2f} | {bad:.2f} |') in GUIDE
