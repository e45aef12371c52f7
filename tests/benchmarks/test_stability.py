import json
import pathlib

import numpy as np
import pytest

from benchmarks import ablation
from benchmarks import settings
from benchmarks import stability
import tfp_glow


@pytest.mark.slow
def test_the_table_of_a_run(class_run, tmp_path, capsys):
  file = tmp_path / 'figures.json'
  assert stability.main([
      f'--workdir={class_run}', '--samples=30', '--images=20',
      '--temperatures=0.7,1,4', f'--json={file}']) == 0
  lines = capsys.readouterr().out.splitlines()
  results = json.loads(file.read_text())
  assert lines == stability.table(results).splitlines()
  assert lines[0].split() == ['temperature', '0.7', '1', '4']
  assert lines[1].split()[:2] == ['not', 'finite'] and lines[1].count('%') == 3
  beyond = [results['samples'][t]['beyond_twice_the_range']
            for t in ('0.7', '1', '4')]
  assert beyond[0] <= beyond[1] < beyond[2]
  assert lines[4].split() == [
      'images', 'held-out', 'noise', 'constant', 'inverted']
  assert lines[5].split()[2:] == ['20', 'of', '20'] * 4
  assert results['bits_per_dim'] == pytest.approx(
      float(lines[7].split()[1]), abs=1e-3)
  shown = {line.split(',')[0] for line in lines if ', decode' in line}
  assert shown == {'ActNorm', 'InvertibleConv', 'AffineCoupling', 'TopPrior'}
  assert list(results['amplification']) == [
      'held-out', 'noise', 'samples, T=1', 'samples, T=4']
  assert results['layers'].keys() == results['amplification'].keys()


@pytest.mark.slow
def test_a_model_that_breaks_down_is_seen_to(capsys):
  flow = tfp_glow.Glow((4, 4, 1), levels=1, steps=1, width=4, seed=0)
  model = tfp_glow.FlowModel(flow)
  images = np.random.default_rng(0).integers(
      0, 256, (8, 4, 4, 1), dtype=np.uint8)
  model.adapt(images)
  *_, last = [v for v in flow.bijectors[3].conditioner.trainable_variables
              if len(v.shape) == 4]
  last.assign(300. * np.random.default_rng(0).standard_normal(last.shape))
  results = stability.measure(model, images, 20, (0., 5.))
  assert results['samples']['5']['not_finite'] > .5
  assert results['images']['noise']['come_back'] < 8
  assert results['amplification']['samples, T=5'] == np.inf
  assert any(layer['not_finite']
             for layer in results['layers']['samples, T=5'])
  assert 'inf' in stability.table(results)


@pytest.mark.slow
def test_forms_of_the_scale_are_compared(tmp_path, capsys, monkeypatch):
  images = np.random.default_rng(0).integers(
      0, 256, (300, 8, 8, 3), dtype=np.uint8)
  path = tmp_path / 'images.npz'
  np.savez(path, images=images)
  recipe = ablation.recipe

  def small(*args):
    config = recipe(*args)
    config.data.update(image_size=8, cache_dir=str(tmp_path))
    config.model.update(levels=1, steps=1, width=4)
    return config

  monkeypatch.setattr(ablation, 'recipe', small)
  file = tmp_path / 'rows.json'
  assert ablation.main([
      f'--data=npz:{path}', '--steps=2', '--scales=sigmoid,b=0.7',
      f'--json={file}']) == 0
  printed = capsys.readouterr().out.splitlines()
  assert ablation.main(['--markdown', str(file)]) == 0
  head, _, *rows = capsys.readouterr().out.splitlines()
  assert rows == printed
  assert [row.split(' | ')[0] for row in rows] == ['| sigmoid', '| b=0.7']
  assert {row.count('|') for row in rows} == {head.count('|')}
  one, two = json.loads(file.read_text())
  assert one['bits_per_dim_end'] != two['bits_per_dim_end']


@pytest.mark.parametrize('form, lowest, highest, at_zero', [
    ('sigmoid', 0., 1., .8808), ('b=0.1', .1, 1., .8927),
    ('b=0.5', .5, 1., .9404), ('2 sigmoid', 0., 2., 1.),
    ('clamped', np.exp(-2.), np.exp(2.), 1.), ('1/2 to 2', .5, 2., 1.),
    ('2**tanh', .5, 2., 1.)])
def test_forms_are_what_their_names_say(form, lowest, highest, at_zero):
  scale = np.exp(ablation.LOG_SCALES[form](
      np.array([-1e4, 0., 1e4], np.float32)))
  np.testing.assert_allclose(scale, [lowest, at_zero, highest], rtol=1e-3)


def test_an_unknown_form_is_refused(capsys):
  with pytest.raises(SystemExit):
    ablation.main(['--data=digits', '--scales=b=0.4'])
  assert "'b=0.4', which is none of" in capsys.readouterr().err


def test_tables_of_the_docs_are_of_their_files():
  folder = pathlib.Path(__file__).parents[2] / 'docs'
  text = (folder / 'stability.md').read_text()
  for name in ('photographs', 'faces'):
    rows = json.loads((folder / 'stability' / f'{name}.json').read_text())
    assert ablation.markdown(rows) in text
  for name in ('digits', 'digits_nice', 'digits_real_nvp_margin'):
    rows = json.loads((folder / 'stability' / f'{name}.json').read_text())
    assert settings.markdown(rows) in text
  recipe = json.loads(
      (folder / 'stability' / 'photographs_recipe.json').read_text())
  assert (f'{recipe["bits_per_dim"]:.3f} +- {recipe["standard_error"]:.3f} '
          f'bits/dim after {recipe["steps"]:,} steps') in text
  for name in ('photographs_sigmoid', 'photographs_bounded',
               'photographs_real_nvp', 'faces_pretrained', 'digits_long',
               'digits_real_nvp'):
    results = json.loads((folder / 'stability' / f'{name}.json').read_text())
    assert stability.table(results) in text
