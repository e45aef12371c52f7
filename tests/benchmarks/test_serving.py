import json

import pytest

from benchmarks import serving


@pytest.mark.slow
def test_the_command_prints_and_writes_the_figures(
    capsys, monkeypatch, tmp_path):
  monkeypatch.setattr(serving, 'BATCH_SIZES', (2,))
  path = tmp_path / 'serving.json'
  assert serving.main(['--steps', '1', '--width', '4', '--rounds', '3',
                       '--json', str(path)]) == 0
  figures = json.loads(path.read_text())
  lines = capsys.readouterr().out.splitlines()
  assert '3 levels x 1 steps, width 4, 32x32x3; 3 rounds' in lines[0]
  assert f'{figures["size_ratio"]:.2f} times its weights' in lines[1]
  assert figures['bytes'] > figures['weight_bytes'] > 0
  assert figures['size_ratio'] == pytest.approx(
      figures['bytes'] / figures['weight_bytes'])
  assert [row['figure'] for row in figures['rows']] == [
      'SavedModel, log_prob, batch 2', 'SavedModel, sample, batch 2']
  for row, speed, line in zip(
      figures['rows'], figures['images_per_second'], lines[4:]):
    assert line.startswith(row['figure'])
    assert line.split()[-1] == f'{speed:.0f}'
    assert speed == pytest.approx(2e3 / row['ours'])
