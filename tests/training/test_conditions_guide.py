"""What `docs/conditions.md` says works."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import condition_scales
from tests import documentation
from training.data import condition

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'conditions.md'
GUIDE = PAGE.read_text()
RUNS = ('faces_downsample', 'faces_grey', 'faces_mask')


@pytest.fixture(scope='module')
def names():
  names = {}
  documentation.run(PAGE, names, changed=str)
  return names


def test_the_code_runs(names):
  assert names['answer']['images'].shape == [2, 8, 8, 3]
  assert names['samples'].shape == [4, 8, 8, 3]


def test_clients_make_the_maps_of_recipes(names):
  images = names['images']

  def of_recipe(text):
    place = tf.fill([len(images)], .4)
    return condition.parse(text).maps(images, place, place).numpy()

  np.testing.assert_allclose(
      names['downsample'](images, 4), of_recipe('downsample:4'), atol=1e-6)
  means = images.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).round()
  np.testing.assert_allclose(
      names['enlarged'](np.uint8(means), 4), of_recipe('downsample:4'),
      atol=1e-6)
  np.testing.assert_allclose(
      names['grey_values'](images), of_recipe('grey'), atol=1e-6)
  want = of_recipe('mask:3')
  np.testing.assert_allclose(
      names['masked'](images, want[..., 3] > 0.), want, atol=1e-6)


@pytest.mark.parametrize('suffix', ['', '_temperature_1'])
@pytest.mark.parametrize('run', RUNS)
def test_the_figures_are_those_that_were_measured(run, suffix):
  folder = ROOT / 'docs' / 'conditions'
  measured = json.loads((folder / f'{run}{suffix}.json').read_text())
  cells = [measured[name] for name in (
      'psnr', 'psnr_of_images', 'samples_differ')]
  row = f'{cells[0]:.1f} | {cells[1]:.1f} | {cells[2]:.1f} |'
  name = run.removeprefix('faces_')
  if not suffix:
    assert (folder / f'{run}.png').exists()
    assert f'(conditions/{run}.png)' in GUIDE
    assert f'{measured["images_differ"]:.0f}' in GUIDE
    row = (f'{measured["bits_per_dim"]:.3f} | '
           f'{measured["baseline_bits_per_dim"]:.3f} | '
           f'{measured["less_than_baseline"]:.3f} +- '
           f'{measured["less_than_baseline_error"]:.3f} | {row}')
  assert f'| `{name}` | {row}' in GUIDE


def test_the_ways_that_were_compared_are_in_a_file():
  rows = json.loads((ROOT / 'docs' / 'conditions' / 'scales.json').read_text())
  assert condition_scales.markdown(rows) in GUIDE
  assert f'{rows[0]["bits_per_dim"]:.3f} without a' in GUIDE
  assert max(row['standard_error'] for row in rows) < .0095
  for row in rows:
    if row['way'] != 'averaged at every level':
      assert f'{row["weights"]:,}' in GUIDE
