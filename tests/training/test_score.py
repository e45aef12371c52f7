"""Which of some files are unusual to a run's model."""

import csv
import json
import pathlib
import types

import numpy as np
from PIL import Image
import pytest
import sklearn.metrics
import tensorflow as tf

import tfp_glow
from tfp_glow import scores as scores_lib
from training import config
from training import data
from training import files
from training import runs
from training import score


@pytest.fixture(name='workdir')
def fixture_workdir(plain_run):
  return plain_run


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """Digits, and images of noise, a damaged file and a text among them."""
  root = tmp_path_factory.mktemp('images')
  digits, _ = data.open(config.get_config().data).train_examples(12, 0)
  write(root / 'good', digits)
  noise = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1), np.uint8)
  write(root / 'bad', noise[:3])
  write(root / 'bad' / 'deeper', noise[3:])
  (root / 'bad' / 'b.png').write_bytes(b'no PNG at all')
  (root / 'bad' / 'notes.txt').write_text('no image')
  return root


def write(folder, images):
  folder.mkdir(exist_ok=True)
  for number, image in enumerate(images):
    Image.fromarray(image[..., 0]).save(folder / f'{number:02}.png')


def run(workdir, capsys, **changes):
  arguments = dict(
      workdir=workdir, weights=None, images=None, good=None, bad=None,
      background=None, rank_by='complexity', typical_images=200, columns=4,
      batch_size=5, output=None)
  score.main(types.SimpleNamespace(**{**arguments, **changes}))
  return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_good_and_bad_files(workdir, folders, tmp_path, capsys, caplog):
  output = tmp_path / 'new' / 'folder'
  # Its own averaged weights are as good a background as any.
  summary = run(
      workdir, capsys, good=str(folders / 'good'), bad=str(folders / 'bad'),
      weights='raw', background=workdir, output=str(output))
  assert summary['images'] == {'good': 12, 'bad': 9}
  assert summary['left_out'] == 1
  assert 'b.png: cannot identify image file' in caplog.text

  with open(output / 'scores.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['group'] for row in rows] == 12 * ['good'] + 10 * ['bad']
  assert pathlib.Path(rows[0]['file']) == folders / 'good' / '00.png'
  damaged, = [row for row in rows if row['left_out_because']]
  assert damaged['file'].endswith('b.png') and not damaged['complexity']
  rows.remove(damaged)

  # The table has what the library says of the files' pixels.
  recipe, model = runs.load(workdir, 'raw')
  pixels = np.stack([np.asarray(Image.open(row['file'])) for row in rows])
  _, other = runs.load(workdir)
  training, _ = data.open(recipe.data).train_examples(200, recipe.seed)
  references = {
      'bits_per_dim': None, 'complexity': None, 'ratio': other,
      'typicality': tfp_glow.Typicality.fit(model.bits_per_dim(training))}
  for method, reference in references.items():
    values = tfp_glow.score(model, pixels[..., None], method, reference)
    assert np.ptp(values) > 1e-4
    np.testing.assert_allclose(
        [float(row[method]) for row in rows], values, rtol=1e-4, atol=1e-5)
    good, bad = values.numpy()[:12], values.numpy()[12:]
    assert summary['median']['bad'][method] == pytest.approx(
        np.median(bad), rel=1e-4, abs=1e-5)
    result = summary['auroc'][method]
    assert result['auroc'] == pytest.approx(
        np.mean(good[:, None] < bad[None]), abs=.02)
    assert result['low'] <= result['auroc'] <= result['high']
  assert set(summary['auroc']) == set(scores_lib.METHODS)

  picture = np.asarray(Image.open(output / 'ranked.png'))
  assert picture.ndim == 3 and picture.shape[0] == 4 * 100 + 4
  unusual = picture[28, -30]  # in the uppermost row, not grey beside it
  assert unusual[0] == unusual[1] == unusual[2]


@pytest.mark.slow
def test_the_most_and_the_least_unusual_are_drawn(
    workdir, folders, tmp_path, monkeypatch):
  recipe, model = runs.load(workdir)
  images = files.Files(recipe, folders / 'good', model.image_shape)
  drawn = {}
  monkeypatch.setattr(
      score.pictures, 'save_grid',
      lambda path, rows, labels: drawn.update(rows=rows, labels=labels))
  values = np.arange(12.)
  values[7], values[3] = 90., -90.
  score.ranked(
      model, None, [(images, path) for path in images.paths], values, 2,
      tmp_path / 'ranked.png')
  most, where, least, _ = drawn['rows']
  for shown, row in ((most[0], 7), (most[1], 11), (least[0], 3), (least[1], 0)):
    np.testing.assert_array_equal(
        shown, np.repeat(images.read(images.paths[row]), 3, axis=-1))
  assert where.shape == (2, 8, 8, 3) and np.ptp(where) > 50
  # Bright is where much of the bits/dim comes from.
  parts = tfp_glow.score_map(
      model, np.stack([images.read(images.paths[row]) for row in (7, 11)]))
  order = np.argsort(np.ravel(parts))
  brightness = where.sum(axis=-1, dtype=int).ravel()[order]
  assert brightness[:20].mean() < brightness[-20:].mean() - 100

  monkeypatch.setattr(
      tfp_glow, 'score_map', lambda model, images, **_: np.full(
          images.shape[:-1], np.inf, np.float32) + tf.zeros([]))
  score.ranked(
      model, None, [(images, path) for path in images.paths], values, 2,
      tmp_path / 'ranked.png')
  assert np.ptp(np.asarray(drawn['rows'][1]), axis=(0, 1, 2)).max() == 0


def test_auroc_and_its_interval():
  generator = np.random.default_rng(0)
  good, bad = generator.normal(0., 1., 400), generator.normal(1., 1., 400)
  result = score.auroc(good, bad)
  assert result['auroc'] == pytest.approx(sklearn.metrics.roc_auc_score(
      np.repeat([0, 1], 400), np.concatenate([good, bad])))
  # Hanley and McNeil's standard error is 0.017.
  assert result['high'] - result['low'] == pytest.approx(.066, abs=.012)
  assert result['low'] < result['auroc'] < result['high']
  assert score.auroc(bad, good)['auroc'] == pytest.approx(
      1. - result['auroc'])
  infinite = score.auroc([1., 2.], [2., np.inf])
  assert infinite['auroc'] == .875


def test_files_are_prepared_as_the_recipe_says(tmp_path):
  grey = np.zeros([12, 12, 1], np.uint8)
  grey[1:11, 1:11] = 200  # what the box cuts out
  write(tmp_path, [grey, grey[:10, :10]])
  recipe = config.get_config()
  recipe.data.update(crop=(1, 1, 10, 10), image_size=5, pad=2)
  images = files.Files(recipe, tmp_path, (9, 9, 3))
  (paths, pixels), = images.batches(10)
  assert [path.name for path in paths] == ['00.png']
  expected = np.zeros([1, 9, 9, 3])
  expected[:, 2:7, 2:7] = 200
  np.testing.assert_array_equal(pixels, expected)
  assert images.resized == 1
  assert list(images.left_out.values()) == [
      'it has 10x10 pixels, but the recipe cuts 11x11 out']


def test_windows_are_not_cut_out_of_less(tmp_path):
  write(tmp_path, np.zeros([1, 5, 8, 1], np.uint8))
  recipe = config.get_config()
  recipe.data.update(crop='random', image_size=6)
  images = files.Files(recipe, tmp_path, (6, 6, 1))
  with pytest.raises(ValueError, match='has 5x8 pixels, .* cuts 6x6 out'):
    images.read(images.paths[0])


@pytest.mark.parametrize('fields,shown', [
    # Of windows at random, the central one, as in evaluation.
    ({'crop': 'random', 'shorter_side': 8, 'image_size': 6}, slice(1, 7)),
    ({'crop': 'random', 'image_size': 4}, slice(2, 6)),
    ({'pad': 1}, slice(0, 8)),
    ({}, slice(0, 8))])
def test_files_get_the_shape_of_the_run(tmp_path, fields, shown):
  ramp = np.uint8(np.add.outer(16 * np.arange(8), np.arange(8)))[..., None]
  write(tmp_path, [ramp])
  recipe = config.get_config()
  recipe.data.update(fields)
  expected = np.pad(ramp[shown, shown],
                    2 * [2 * [recipe.data.pad]] + [[0, 0]])
  images = files.Files(recipe, tmp_path, expected.shape)
  np.testing.assert_array_equal(images.read(images.paths[0]), expected)


def test_other_sizes_are_told(workdir, tmp_path, capsys, caplog):
  images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
  write(tmp_path / 'images', images[:, :8, :8])
  Image.fromarray(images[0, ..., 0]).save(tmp_path / 'images' / 'large.png')
  summary = run(workdir, capsys, images=str(tmp_path / 'images'),
                typical_images=0, output=str(tmp_path))
  assert '1 of 3 images had another size' in caplog.text
  assert summary['images'] == {'images': 3} and 'auroc' not in summary
  assert set(summary['median']['images']) == {'bits_per_dim', 'complexity'}


def test_what_is_refused(workdir, folders, tmp_path, capsys):
  good, bad = str(folders / 'good'), str(folders / 'bad')
  empty, damaged = tmp_path / 'empty', tmp_path / 'damaged'
  empty.mkdir()
  damaged.mkdir()
  (damaged / 'a.png').write_bytes(b'')
  for arguments, message in (
      ({}, 'No folder is given: needed are --images'),
      ({'good': good}, 'needed are --images, or both'),
      ({'images': good, 'bad': bad}, 'needed are --images, or both'),
      ({'images': f'{good}er'}, f'no folder {good}er'),
      ({'images': str(empty)}, 'There is no image in'),
      ({'images': str(damaged)}, 'None of the 1 images of --images .*a.png'),
      ({'images': good, 'rank_by': 'ratio'}, 'ratio needs --background'),
      ({'images': good, 'rank_by': 'typicality', 'typical_images': 0},
       'typicality needs --typical_images'),
      ({'images': good, 'background': good}, 'no working folder')):
    with pytest.raises(ValueError, match='(?s)' + message):
      run(workdir, capsys, **{'output': str(tmp_path), **arguments})


def test_a_class_conditional_run_is_refused(
    workdir, folders, capsys, monkeypatch):
  recipe, _ = runs.load(workdir)
  told = types.SimpleNamespace(condition_names=frozenset(['label']))
  monkeypatch.setattr(score.runs, 'load', lambda *_: (recipe, told))
  with pytest.raises(ValueError, match='told the class'):
    run(workdir, capsys, images=str(folders / 'good'))
