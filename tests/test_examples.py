"""The scripts of `examples/`, made short.

That of a served model is run by `tests/serving/test_guide.py`.
"""

import numpy as np
import pytest

from tests import documentation

FOLDER = documentation.ROOT / 'examples'


def load(name):
  return documentation.module(FOLDER / f'{name}.py')


def test_own_layer():
  before, after = load('own_layer').main(epochs=1)
  assert after < before


def test_conditional(tmp_path):
  right, wrong = load('conditional').main(
      epochs=2, steps=1, width=8, path=tmp_path / 'digits.png')
  # Had it seen no classes, they would differ by less than 0.001.
  assert right < wrong - .005
  assert (tmp_path / 'digits.png').exists()


def test_variational_posterior():
  losses, mean = load('variational_posterior').main(num_steps=100)
  assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2.
  assert np.isfinite(mean)


def test_scoring():
  medians = load('scoring').main(count=4)
  for method, score in medians.pop('faces').items():
    for others in medians.values():
      assert others[method] > score


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.py')),
                         ids=lambda path: path.stem)
def test_a_script_says_how_it_is_run_and_has_a_test(path):
  assert f'python examples/{path.name}' in path.read_text()
  tests = ('tests/test_examples.py', 'tests/serving/test_guide.py')
  assert any(f'def test_{path.stem}(' in (documentation.ROOT / test).read_text()
             for test in tests)
