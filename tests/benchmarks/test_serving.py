import json

import pytest

from benchmarks import serving


class Clock:
  """Tells the time that functions are said to take."""

  def __init__(self):
    self.now = 0.
    self.order = []

  def __call__(self):
    return self.now

  def taking(self, name, seconds):
    seconds = iter(seconds)

    def function():
      self.order.append(name)
      self.now += next(seconds)

    return function


def test_ratios_are_taken_within_a_round():
  clock = Clock()
  # After the first call, which does not count, it gets slower and slower.
  row = serving.compare(
      'log_prob', 8, clock.taking('served', [9., 2., 8., 32., 96., 8.]),
      clock.taking('python', [5., 1., 4., 16., 32., 64.]), 5, clock)
  assert row.ratio == 2.
  assert row.quartiles == (2., 2.)
  assert row.served_ms == 8000. and row.python_ms == 16000.
  assert row.images_per_second == 1.
  assert clock.order == ['served', 'python', *(
      ['python', 'served', 'served', 'python'] * 3)[:10]]


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
  assert [row['call'] for row in figures['calls']] == ['log_prob', 'sample']
  for row, line in zip(figures['calls'], lines[4:]):
    assert line.split()[:2] == [row['call'], '2']
    assert f'{row["ratio"]:.2f}' in line
    assert row['quartiles'][0] <= row['ratio'] <= row['quartiles'][1]
