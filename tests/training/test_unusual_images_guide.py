"""Figures that `docs/unusual-images.md` tells."""

import json
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = (ROOT / 'docs' / 'unusual-images.md').read_text()


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
