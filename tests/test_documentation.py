"""What the README and the pages of `docs/` say works."""

import ast
import contextlib
import inspect
import json
import re

import numpy as np
from PIL import Image
import pytest

from benchmarks import good_and_bad
from benchmarks import sizes
from tests import documentation
import tfp_glow

BY_NAME = {str(page.relative_to(documentation.ROOT)): page
           for page in documentation.PAGES}
# But the guides to serving, which takes a server, tests/serving/test_guide.py,
# and to conditions, tests/training/test_conditions_guide.py.
ELSEWHERE = ('docs/serving.md', 'docs/conditions.md')
WITH_PYTHON = [
    name for name, page in BY_NAME.items() if name not in ELSEWHERE and
    any(block.kind == 'python' for block in documentation.blocks(page))]
# Many models are fitted there, as in the tests of the same things.
LONG = ('docs/keras.md', 'docs/latent-space.md')
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


def write_photos(folder):
  """A folder of images of two classes, as pages take it for given."""
  for kind in ('cat', 'dog'):
    (folder / 'photos' / kind).mkdir(parents=True)
    for number, pixels in enumerate(images(20)):
      Image.fromarray(pixels).save(folder / 'photos' / kind / f'{number}.png')


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
    for name in WITH_PYTHON])
def test_the_code_of_a_page_runs(name, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  write_photos(tmp_path)
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


@pytest.mark.parametrize('name', BY_NAME)
def test_commands_within_sentences_are_there(name):
  for words in documentation.inline_commands(BY_NAME[name]):
    documentation.check(words, whole=False)


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


def defined_in(path):
  """Names of functions, classes, methods and constants of a file."""
  names = set()

  def walk(node, prefix):
    for child in ast.iter_child_nodes(node):
      if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
        names.add(prefix + child.name)
        walk(child, f'{prefix}{child.name}.')
      elif isinstance(child, ast.Assign):
        names.update(target.id for target in child.targets
                     if isinstance(target, ast.Name))

  walk(ast.parse(path.read_text()), '')
  return names


@pytest.mark.parametrize('name', BY_NAME)
def test_names_that_are_linked_to_their_file_are_in_it(name):
  page = BY_NAME[name]
  for linked, path in re.findall(
      r'\[`([\w.]+)`\]\(([^)]+\.py)\)', page.read_text('utf-8')):
    names = defined_in((page.parent / path).resolve())
    assert linked in names or any(
        n.endswith(f'.{linked}') for n in names), (linked, path)


@pytest.mark.parametrize('module', [tfp_glow, tfp_glow.networks],
                         ids=lambda module: module.__name__)
def test_the_reference_has_every_public_name(module):
  text = ''.join(page.read_text('utf-8') for name, page in BY_NAME.items()
                 if name.startswith('docs/reference/'))
  named = re.findall(rf'^::: {module.__name__}\.(\w+)$', text, re.MULTILINE)
  public = {name for name, value in vars(module).items()
            if not name.startswith('_') and not inspect.ismodule(value)}
  assert sorted(named) == sorted(public | (
      {'presets'} if module is tfp_glow else set()))


def test_figures_of_your_own_images_are_those_that_were_measured():
  folder = documentation.ROOT / 'docs' / 'your-images'
  text = folder.with_suffix('.md').read_text('utf-8')
  measured = json.loads((folder / 'sizes.json').read_text())
  assert sizes.markdown(measured['rows']) in text
  runs = json.loads((folder / 'runs.json').read_text())
  assert runs.keys() == good_and_bad.RUNS.keys()
  assert good_and_bad.markdown(runs) in text
  assert f'the good run below | {runs["good"]["eval_bits_per_dim"]:.2f} |' in (
      text)
  for name in ('faces', 'one_level'):
    assert f' {runs[name]["eval_bits_per_dim"]:.3f}' in text
  for path in folder.glob('*.png'):
    assert f'(your-images/{path.name})' in text


def test_bits_per_dim_to_expect_are_those_that_were_measured_or_published():
  docs = documentation.ROOT / 'docs'
  text = (docs / 'your-images.md').read_text('utf-8')
  faces = json.loads((documentation.ROOT / 'tfp_glow' / 'pretrained' /
                      'faces.json').read_text())['figures']['bits_per_dim']
  bounded, = (row for row in json.loads(
      (docs / 'stability' / 'photographs.json').read_text())
              if row['form'] == '2**tanh')
  assert f'a Glow of 819,444 weights | {faces:.3f} |' in text
  assert f'{bounded["steps"]} steps ([Stability](stability.md)) | ' + (
      f'{bounded["bits_per_dim_end"]:.3f} |') in text
  for images, name in (('CIFAR-10', 'glow_cifar10'),
                       ('ImageNet, 32x32', 'glow_imagenet_32'),
                       ('CelebA-HQ, 256x256', 'glow_celeba_hq_256')):
    preset = tfp_glow.presets.get(name)
    assert re.search(rf'\| {images} \| {preset.num_bits} \| [^|]* \| '
                     rf'{preset.bits_per_dim} \|', text)


def test_times_of_the_page_are_those_that_were_measured():
  docs = documentation.ROOT / 'docs'
  times = json.loads((docs / 'studio' / 'answers.json').read_text())
  medians, slowest = (
      [tab[kind] for tab in times['seconds'].values()]
      for kind in ('median', 'slowest'))
  said = (
      f'takes {min(medians):.2f} to {max(medians):.2f} s from the slider to '
      f'the new picture in the browser, at most {max(slowest):.2f} ')
  assert said in ' '.join((docs / 'studio.md').read_text('utf-8').split())


@pytest.mark.slow
def test_runs_are_drawn(tmp_path):
  assert good_and_bad.main([f'--output={tmp_path}', '--quick']) == 0
  runs = json.loads((tmp_path / 'runs.json').read_text())
  assert runs.keys() == {'good', 'over_fitting'}
  assert {path.name for path in tmp_path.glob('*.png')} == {
      'curves.png', 'samples_good.png', 'samples_cold.png', 'samples_hot.png',
      'samples_over_fitting.png'}


def test_sizes_are_measured():
  size = (4, 1, 1, 1, 4, 2, 'store')
  row = sizes.measure(*size, rounds=2)
  assert tuple(row.values())[:7] == size
  assert min(row['first_step_seconds'], row['step_seconds'],
             row['peak_mebibytes']) > 0.
  assert '| 4x4x1 | 1 x 1, 4 |' in sizes.markdown([row])
