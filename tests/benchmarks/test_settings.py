"""The settings of a recipe, each changed alone."""

import importlib
import json
import pathlib
import re

import numpy as np
import pytest

from benchmarks import settings


def test_fields_are_values_or_words():
  assert settings.fields(
      ['model.width=32', 'a=lu,b=0.5', 'c=None']) == {
          'model.width': 32, 'a': 'lu', 'b': .5, 'c': None}
  with pytest.raises(ValueError, match="'width' is given, but FIELD=VALUE"):
    settings.fields(['model.steps=1,width'])


@pytest.mark.slow
def test_each_setting_is_changed_alone(tmp_path, capsys):
  images = np.random.default_rng(0).integers(
      0, 256, (60, 8, 8, 1), dtype=np.uint8)
  np.savez(tmp_path / 'images.npz', images=images)
  file = tmp_path / 'rows.json'
  assert settings.main([
      '--config=digits', f'--data=npz:{tmp_path}/images.npz', '--with',
      f'data.cache_dir={tmp_path}', 'data.shift=0', 'model.steps=1',
      'model.width=4', 'model.levels=1', 'steps=2', 'initial_images=20',
      'batch_size=10', '--change', 'model.width=8', 'model.scale=sigmoid',
      f'--json={file}']) == 0
  assert '| as it is | 2 |' in capsys.readouterr().out
  rows = json.loads(file.read_text())
  assert [row['changed'] for row in rows] == [
      'as it is', '`model.width=8`', '`model.scale=sigmoid`']
  assert rows[0]['weights'] == rows[2]['weights'] < rows[1]['weights']
  assert len({row['bits_per_dim'] for row in rows}) == 3
  assert settings.main(['--markdown', str(file)]) == 0
  table = capsys.readouterr().out.splitlines()
  assert len(table) == 5 and table[2].startswith('| as it is | 2 | ')


def test_a_recipe_is_needed(capsys):
  with pytest.raises(SystemExit):
    settings.main(['--change', 'model.width=8'])
  assert '--config is needed' in capsys.readouterr().err


@pytest.mark.parametrize('name', [
    'settings', 'real_nvp_settings', 'real_nvp_photographs',
    'real_nvp_digits'])
def test_the_table_in_the_document_is_of_the_file_of_figures(name):
  folder = pathlib.Path(__file__).parents[2] / 'docs'
  rows = json.loads((folder / 'mnist' / f'{name}.json').read_text())
  assert settings.markdown(rows) in (folder / 'mnist.md').read_text('utf-8')


def test_what_mnist_reached_in_the_document_is_of_the_files():
  folder = pathlib.Path(__file__).parents[2] / 'docs'
  text = (folder / 'mnist.md').read_text('utf-8')
  per_second = json.loads(
      (folder / 'mnist' / 'images_per_second.json').read_text())
  for name, title in (('glow', 'Glow'), ('real_nvp', 'RealNVP')):
    assert f' {64. / per_second[name]:.2f} s' in text
    reached = json.loads((folder / 'mnist' / f'{name}.json').read_text())
    assert (f'{reached["bits_per_dim"]:.3f} +- '
            f'{reached["standard_error"]:.3f} |') in text
    assert reached['images_reconstructed_exactly'] == reached['images'] == (
        10_000)
    steps = importlib.import_module(
        f'training.configs.{name}_mnist').get_config().steps
    assert f', `{name}_mnist.py` | {steps:,} | ' in text
    published = float(re.search(
        rf'{title}, published \| +\| +\| +\| ([0-9.]+) \|', text)[1])
    assert f'{reached["bits_per_dim"] - published:.2f}' == '0.05'
  assert 'Both are 0.05 from theirs.' in text
  for name in ('digits_real_nvp', 'digits_real_nvp_rate'):
    measured = json.loads((folder / 'stability' / f'{name}.json').read_text())
    assert (f'{measured["bits_per_dim"]:.3f} +- '
            f'{measured["standard_error"]:.3f}') in text
