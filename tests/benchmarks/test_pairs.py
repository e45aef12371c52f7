import pathlib

import numpy as np
import pytest

from benchmarks import command
from benchmarks import pairs


def test_sides_are_timed_in_turn_after_warming_up():
  calls = []
  seconds = {'ours': 1., 'other': 4.}
  now = [0.]

  def side(name):
    def run():
      calls.append(name)
      now[0] += seconds[name]
    return run

  measured = pairs.in_turn(
      side('ours'), side('other'), 3, clock=lambda: now[0])
  np.testing.assert_allclose(measured, [[1e3, 4e3]] * 3)
  assert calls[:4] == ['ours', 'other'] * 2
  assert calls[4:] == ['other', 'ours', 'ours', 'other', 'other', 'ours']


def test_a_row_has_medians_of_sides_and_of_ratios():
  row = pairs.row('a', 'b', [[1., 2.], [9., 3.], [2., 2.]], goal=1.)
  assert (row.ours, row.other, row.ratio) == (2., 2., 1.)
  assert row.quartiles == (.75, 2.)
  assert str(row).endswith('1.00  met')
  assert str(pairs.row('a', 'b', [[3., 2.]], goal=1.)).endswith('1.00 MISS')
  assert 'MISS' not in str(pairs.row('a', 'b', [[3., 2.]]))
  assert len(str(row)) == len(pairs.header())


def test_the_table_in_the_document_is_of_the_file_of_figures():
  folder = pathlib.Path(__file__).parents[2]
  lines = pairs.markdown(
      pairs.read_json(folder / 'docs' / 'speed' / 'figures.json')).splitlines()
  text = (folder / 'docs' / 'speed.md').read_text('utf-8')
  assert text.count(lines[0]) == 1
  start = text.index(lines[0])
  assert text[start:text.index('\n\n', start)].splitlines() == lines


def test_rows_come_back_from_files_and_as_markdown(tmp_path, capsys):
  rows = [pairs.row('step, 2 steps', 'other', [[1., 4.]], goal=.35),
          pairs.row('step, 4 steps', 'other', [[1., 2.]], 'MiB')]
  path = tmp_path / 'rows.json'
  pairs.write_json(path, rows, quick=True)
  assert pairs.read_json(path) == rows
  assert command.main('benchmarks', 'All.', None, [
      '--markdown', str(path)]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 4
  assert lines[2] == (
      '| step, 2 steps | other | 0.25 | 0.25 .. 0.25 | at most 0.35 |')
  assert lines[3].endswith('| 0.50 | 0.50 .. 0.50 |  |')


def test_rows_over_depth_are_drawn(tmp_path, capsys):
  rows = [pairs.row(f'step, {n} steps', f'stored, {n} steps', [[n, 2. * n]])
          for n in (1, 2)] + [pairs.row('alone', 'other', [[1., 1.]])]
  command.main('benchmarks', 'All.', lambda *_: rows, [
      '--plots', str(tmp_path), '--json', str(tmp_path / 'rows.json')])
  assert [file.name for file in tmp_path.glob('*.png')] == ['step_stored.png']
  assert pairs.read_json(tmp_path / 'rows.json') == rows
  assert capsys.readouterr().out.splitlines()[0] == pairs.header()


def test_other_processes_answer_and_their_errors_are_told():
  assert pairs.in_fresh_process('math', 'hypot', 3, 4) == 5.
  with pytest.raises(RuntimeError, match='math domain error'):
    pairs.in_fresh_process('math', 'sqrt', -1)


def test_a_worker_runs_when_it_is_told(tmp_path, monkeypatch):
  (tmp_path / 'writer.py').write_text(
      'def make(path):\n'
      '  def run():\n'
      '    with open(path, "a") as file:\n'
      '      file.write("run ")\n'
      '  return run\n')
  monkeypatch.setenv('PYTHONPATH', str(tmp_path))
  notes = tmp_path / 'notes'
  worker = pairs.Worker('writer', 'make', str(notes))
  worker()
  assert notes.read_text() == 'run '
  worker()
  worker.close()
  assert notes.read_text() == 'run run '
  worker = pairs.Worker('writer', 'make', str(tmp_path))
  with pytest.raises(RuntimeError, match='ended with status 1'):
    worker()
  worker.close()
