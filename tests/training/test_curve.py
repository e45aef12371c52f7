import json
import types

from PIL import Image
import pytest

from training import curve
from training import runs


def test_curves_are_of_what_was_measured(tmp_path):
  lines = [{'step': 0, 'eval_bits_per_dim': 4.},
           {'step': 10, 'train_bits_per_dim': 3.},
           {'step': 20, 'train_bits_per_dim': 2., 'eval_bits_per_dim': 2.5},
           {'step': 30, 'train_bits_per_dim': None, 'eval_bits_per_dim': 2.25}]
  (tmp_path / 'metrics.jsonl').write_text(
      ''.join(json.dumps(line) + '\n' for line in lines))
  drawn = curve.draw(tmp_path)
  trained, held_out = drawn.axes[0].lines
  assert trained.get_xydata().tolist() == [[10, 3.], [20, 2.]]
  assert held_out.get_xydata().tolist() == [[0, 4.], [20, 2.5], [30, 2.25]]
  assert [text.get_text() for text in drawn.axes[0].texts] == ['2.25']
  drawn.savefig(tmp_path / 'curve.png')
  assert Image.open(tmp_path / 'curve.png').size == (800, 500)


def test_what_was_never_finite_has_no_curve(tmp_path):
  file = tmp_path / 'metrics.jsonl'
  held_out = {'step': 0, 'eval_bits_per_dim': None}
  file.write_text(json.dumps(held_out) + '\n')
  with pytest.raises(ValueError, match=r'No bits/dim of .* is finite'):
    curve.draw(tmp_path)
  file.write_text(json.dumps(held_out) + '\n' + json.dumps(
      {'step': 10, 'train_bits_per_dim': 3.}) + '\n')
  trained, = curve.draw(tmp_path).axes[0].lines
  assert trained.get_xydata().tolist() == [[10, 3.]]


def test_a_folder_without_a_run_is_an_error(tmp_path):
  with pytest.raises(runs.WrongFolderError, match='no metrics.jsonl'):
    curve.draw(tmp_path)
  values = types.SimpleNamespace(workdir=str(tmp_path / 'typo'), output=None)
  with pytest.raises(runs.WrongFolderError):
    curve.main(values)
  assert not (tmp_path / 'typo').exists()
