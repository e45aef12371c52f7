"""What the commands do with a trained run, and what they refuse."""

import io
import json
import math
import os
import re
import shutil
import types

import keras
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from tests.training import driver
from tfp_glow import model as model_lib
from training import callbacks
from training import checkpoints
from training import command
from training import data
from training import evaluate
from training import evaluation
from training import judge
from training import metrics
from training import runs
from training import sample
from training import train

# Deterministic kernels would stay on for other tests of this process.
ANY_KERNELS = '--config.deterministic=False'


def recipe(*overrides, system='glow'):
  return driver.recipe(system, [ANY_KERNELS, *overrides])


@pytest.fixture(name='workdir')
def fixture_workdir(class_run):
  """A class-conditional run with averaged weights."""
  return class_run


@pytest.fixture(scope='module')
def nice_run(tmp_path_factory):
  """A run of NICE, without averaged weights."""
  path = tmp_path_factory.mktemp('nice_run')
  train.train(recipe('--config.steps=2', '--config.optimizer.average=None',
                     system='nice'), str(path))
  return path


def test_load_gives_back_the_model_and_its_average(workdir):
  config, averaged = runs.load(workdir)
  _, raw = runs.load(workdir, 'raw')
  images = data.open(config.data)
  batches = images.eval_batches(20, 20)
  mean, _ = evaluation.mean_and_error(
      evaluation.bits_per_dim(averaged, batches))
  assert mean == pytest.approx(
      metrics.read(workdir)[-1]['eval_bits_per_dim'], rel=1e-6)
  other, _ = evaluation.mean_and_error(evaluation.bits_per_dim(raw, batches))
  assert abs(other - mean) > 1e-4


def test_no_average_is_said_to_be_missing(nice_run, tmp_path):
  with pytest.raises(runs.WrongFolderError, match='no averaged weights'):
    runs.load(nice_run, 'averaged')
  with pytest.raises(runs.WrongFolderError, match='no working folder'):
    runs.load(tmp_path / 'elsewhere')


@pytest.mark.slow
def test_more_samples_of_noise_tighten_the_bound(workdir):
  config, model = runs.load(workdir)
  # So that the density is not as flat as after two steps.
  for seed, variable in enumerate(model.flow.trainable_variables):
    variable.assign_add(.07 * tf.random.stateless_normal(
        variable.shape, [seed, 0]))
  batches = data.open(config.data).eval_batches(50, 100)
  one, few, many = (
      evaluation.bits_per_dim(model, batches, count).mean()
      for count in (1, 4, 32))
  assert one > few + 1e-3 > many + 2e-3
  plain = evaluation.bits_per_dim(model, batches).mean()
  assert one == pytest.approx(plain, abs=.05)


def test_the_bound_is_of_the_mean_density():
  """A density that noise does not change is found whatever the count."""

  def latents_and_log_prob(dequantised):
    return None, tf.fill(tf.shape(dequantised)[:1], -3.)

  model = types.SimpleNamespace(
      pixels=model_lib.Pixels((2, 2, 1)), compute_dtype='float32',
      pack=lambda images: {'images': images}, condition_names=frozenset(),
      latents_and_log_prob=latents_and_log_prob)
  batches = [tf.zeros([3, 2, 2, 1], tf.uint8)]
  np.testing.assert_allclose(
      evaluation.bits_per_dim(model, batches, num_samples=5),
      3. / (4. * math.log(2.)), rtol=1e-6)


def test_mean_and_standard_error():
  mean, error = evaluation.mean_and_error(np.array([1., 2., 3., 4.]))
  assert mean == 2.5
  assert error == pytest.approx(math.sqrt(5. / 3.) / 2.)
  assert evaluation.as_text(mean, error) == '2.500 +- 0.645'


@pytest.mark.filterwarnings('error')
def test_one_value_has_a_mean_and_no_error():
  mean, error = evaluation.mean_and_error(np.array([1.5]))
  assert mean == 1.5 and math.isnan(error)
  assert evaluation.as_text(mean, error) == '1.500'
  assert metrics.as_json({'mean': mean, 'error': error, 'n': 1}) == (
      '{"mean": 1.5, "error": null, "n": 1}')


def test_reconstruction_is_exact(workdir):
  config, model = runs.load(workdir)
  batches = data.open(config.data).eval_batches(50, 70)
  error, exact = evaluation.reconstruction(model, batches)
  assert 0. < error < 1e-5
  assert exact == 70


def test_latent_statistics_are_of_each_level(workdir):
  config, model = runs.load(workdir)
  images, labels = next(iter(data.open(config.data).eval_batches(50)))
  statistics = evaluation.latent_statistics(model, images, label=labels)
  latents = model.encode(images, labels).numpy()
  assert statistics == pytest.approx({
      'latent_mean_0': latents.mean(), 'latent_std_0': latents.std()},
                                     rel=1e-4, abs=1e-5)


def test_samples_have_a_row_for_each_class_and_temperature(workdir):
  _, model = runs.load(workdir)
  rows, names = sample.draw(model, [.5, 1.], [0, 3], 3, 4, seed=1)
  assert rows.shape == (4, 4, 8, 8, 1)
  assert names == [
      'class 0, temperature 0.5', 'class 3, temperature 0.5',
      'class 0, temperature 1', 'class 3, temperature 1']
  np.testing.assert_array_equal(
      rows[1], model.sample(4, temperature=.5, label=3, seed=4))


def test_judge_knows_real_digits_from_those_of_another_class(workdir):
  config, model = runs.load(workdir)
  images = data.open(config.data)

  class Perfect:
    """Draws real images of the class that is asked for."""

    def __init__(self, moved):
      self._moved = moved

    def sample(self, count, temperature, label, seed):
      pixels, labels = images.train_examples(1000, 5)
      chosen = [np.flatnonzero(labels == (wanted + self._moved) % 10)[0]
                for wanted in label]
      return keras.ops.convert_to_tensor(pixels[chosen])

  right = judge.judge(Perfect(0), images, 50, 1., 1000, 0)
  wrong = judge.judge(Perfect(1), images, 50, 1., 1000, 0)
  assert right['error_on_samples'] == 0. and right['samples'] == 50
  assert wrong['error_on_samples'] == 1.
  assert right['error_on_held_out_images'] < .06
  drawn = judge.judge(model, images, 100, 1., 1000, 0)
  assert .3 < drawn['error_on_samples'] <= 1.  # it has hardly been trained


def test_a_folder_of_another_recipe_is_left_alone(workdir):
  before = sorted(os.listdir(workdir / 'checkpoints'))
  with pytest.raises(
      runs.WrongFolderError, match=r'model.width was 4 and is 8'):
    train.train(recipe('--config.model.class_conditional=True',
                       '--config.model.width=8'), str(workdir))
  assert sorted(os.listdir(workdir / 'checkpoints')) == before
  # What is measured of it is no other recipe.
  train.train(recipe('--config.model.class_conditional=True',
                     '--config.temperatures=(0.1,)', '--config.steps=2'),
              str(workdir))


def test_a_run_of_before_recipes_said_what_is_kept_goes_on(
    workdir, tmp_path, capsys):
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'config.json'
  before = json.loads(path.read_text())
  assert before['config']['model'].pop('memory') == 'store'
  assert before['config']['model'].pop('logit_margin') == .05
  path.write_text(json.dumps(before))
  assert runs.load(tmp_path)[1].flow.memory == 'store'
  model = train.train(recipe(
      '--config.model.class_conditional=True', '--config.steps=2',
      '--config.model.memory=recompute'), str(tmp_path))
  assert model.flow.memory == 'recompute'
  assert 'has been trained to step 2 already' in capsys.readouterr().out


@pytest.mark.parametrize('overrides, message', [
    (['--config.strategy=mirored'], "`strategy` is 'mirored'"),
    (['--config.checkpoint_every=0'], '`checkpoint_every` is 0'),
    (['--config.eval_images=0'], '`eval_images` is 0'),
    (['--config.batch_size=5000'], '`batch_size` is 5000, but there are'),
    (['--config.model.levels=4'], '`model.levels` is 4'),
    (['--config.optimizer.name=adm'], "`optimizer.name` is 'adm'"),
    (['--config.temperatures=()'], '`temperatures` is empty'),
    (['--config.max_skipped=0'], '`max_skipped` is 0'),
    (['--config.optimizer.learning_rate=-1e-3'], 'learning_rate` is -0.001'),
    (['--config.optimizer.clip=0.'], '`optimizer.clip` is 0.0'),
    (['--config.optimizer.average=1.'], '`optimizer.average` is 1.0'),
    (['--config.optimizer.accumulate=0'], '`optimizer.accumulate` is 0'),
    (['--config.optimizer.warmup_images=-1'], 'warmup_images` is -1'),
    (['--config.initial_images=5000', '--config.data.train_split=trian'],
     "`train_split` is 'trian'"),
    (['--config.temperatures=(-1.,)'], 'temperature'),  # of the evaluation
])
def test_what_fails_before_the_first_step_leaves_the_folder_as_it_was(
    overrides, message, tmp_path):
  workdir = tmp_path / 'run'
  with pytest.raises(ValueError, match=message):
    train.train(recipe(*overrides), str(workdir))
  assert not workdir.exists()


def test_a_folder_without_a_checkpoint_holds_no_run(workdir, tmp_path):
  (tmp_path / 'mine.txt').write_text('kept')
  recipe_of_another = json.loads((workdir / 'config.json').read_text())
  for text in (json.dumps(recipe_of_another), 'no JSON'):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(runs.WrongFolderError, match='no checkpoint yet'):
      runs.load(tmp_path)
    runs.check_folder(tmp_path, runs.as_recipe(recipe(), (8, 8, 1), 10))
  train.train(recipe('--config.steps=2', system='nice'), str(tmp_path))
  assert runs.load(tmp_path)[0].model.class_conditional is False
  assert (tmp_path / 'mine.txt').read_text() == 'kept'
  (tmp_path / 'config.json').write_text('no JSON')
  with pytest.raises(runs.WrongFolderError, match='cannot be read'):
    train.train(recipe(), str(tmp_path))


def test_a_run_with_the_earlier_bound_is_refused(workdir, tmp_path):
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  path = tmp_path / 'config.json'
  earlier = json.loads(path.read_text())
  earlier['config']['model']['scale'] = 'bounded'
  del earlier['config']['model']['logit_margin']
  path.write_text(json.dumps(earlier))
  with pytest.raises(runs.WrongFolderError, match='train it anew'):
    runs.load(tmp_path)


def test_where_no_folder_can_be_is_said_at_once(tmp_path, monkeypatch):
  given = runs.as_recipe(recipe(), (8, 8, 1), 10)
  (tmp_path / 'file').touch()
  (tmp_path / 'link').symlink_to('nowhere')
  for path in ('file', 'file/below', 'link'):
    with pytest.raises(NotADirectoryError, match='--workdir is .*no folder'):
      runs.check_folder(tmp_path / path, given)
  monkeypatch.setattr(runs.os, 'access', lambda path, mode: False)
  with pytest.raises(PermissionError, match='nothing can be written'):
    runs.check_folder(tmp_path / 'new' / 'deep', given)


def test_notes_of_an_error_are_part_of_its_message(tmp_path):
  (tmp_path / 'file').touch()
  config = recipe('--config.data.name=digits')
  images = np.zeros([20, 4, 4, 3], np.uint8)
  np.savez(tmp_path / 'images.npz', images=images)
  config.data.update(name=f'npz:{tmp_path}/images.npz',
                     cache_dir=f'{tmp_path}/file/x')
  with pytest.raises(OSError) as error:
    data.open(config.data)
  message = command.explain(error.value)
  assert message.startswith('Error: [Errno 20] Not a directory')
  assert '`cache_dir` puts them elsewhere.' in message


def test_steps_alone_make_a_short_trial(tmp_path, capsys):
  """Evaluations and checkpoints fit themselves, and later runs go on."""
  train.train(recipe(
      '--config.steps=3', '--config.eval_every=100',
      '--config.checkpoint_every=100', '--config.eval_images=1',
      '--config.optimizer.warmup_images=100', system='nice'), str(tmp_path))
  printed = capsys.readouterr().out
  assert 'The warm-up takes 5 steps, of 100 images, but the run ends at step ' \
      '3, at a learning rate of 0.006 where 0.01 is meant' in printed
  assert re.search(r'Step 3: \d\.\d{3} bits/dim on 1 image\.', printed)
  assert 'digits: 1,500 images to train on (train), 297 to evaluate' in printed
  assert checkpoints.steps(tmp_path / 'checkpoints') == [3]
  lines = metrics.read(tmp_path)
  assert [line['step'] for line in lines] == [0, 3]
  assert lines[1]['eval_bits_per_dim_error'] is None
  train.train(recipe(
      '--config.steps=7', '--config.eval_every=3', '--config.eval_images=1',
      '--config.checkpoint_every=2', '--config.optimizer.warmup_images=100',
      system='nice'), str(tmp_path))
  assert 'The warm-up' not in capsys.readouterr().out
  assert checkpoints.steps(tmp_path / 'checkpoints') == [4, 6, 7]
  lines = metrics.read(tmp_path)
  assert [line['step'] for line in lines] == [0, 3, 4, 6, 7]
  assert [line['step'] for line in lines if 'eval_bits_per_dim' in line] == [
      0, 3, 6, 7]


@pytest.mark.parametrize('is_terminal', [True, False])
def test_a_bar_shows_what_takes_seconds(is_terminal, monkeypatch):
  monkeypatch.setattr(evaluation, '_SECONDS_OF_SILENCE', 0)
  stderr = io.StringIO()
  stderr.isatty = lambda: is_terminal
  monkeypatch.setattr('sys.stderr', stderr)
  batches = tf.data.Dataset.range(60).batch(20)
  assert len(list(evaluation.shown(batches, 'Measuring'))) == 3
  assert ('Measuring' in stderr.getvalue()) == is_terminal


@pytest.mark.slow
def test_training_that_blows_up_stops_and_says_what_helps(tmp_path):
  config = recipe(
      '--config.optimizer.learning_rate=1e20', '--config.max_skipped=3',
      '--config.steps=40', '--config.optimizer.name=sgd',
      '--config.eval_every=40')
  config.optimizer.clip = None
  with pytest.warns(UserWarning, match='Steps of epoch 1 that were not finite'):
    with pytest.raises(callbacks.NotFiniteError,
                       match=r'optimizer\.learning_rate'):
      train.train(config, str(tmp_path))


def test_systems_other_than_glow_train(nice_run):
  config, model = runs.load(nice_run)
  assert config.model.system == 'nice'
  statistics = evaluation.latent_statistics(
      model, data.open(config.data).train_examples(5, 0)[0])
  assert set(statistics) == {'latent_mean_0', 'latent_std_0'}


def test_unfinished_lines_of_metrics_are_left_out(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 0}\n{"step": 2}\n{"step": 4}\n{"st')
  assert [line['step'] for line in metrics.read(tmp_path)] == [0, 2, 4]
  metrics.Log(tmp_path, 2).scalars(4, {'loss': math.nan})
  assert path.read_text() == (
      '{"step": 0}\n{"step": 2}\n{"step": 4, "loss": null}\n')


@pytest.mark.slow
def test_evaluate_prints_a_line_of_json(workdir, capsys):
  evaluate.main(types.SimpleNamespace(
      workdir=workdir, weights=None, split='train', max_examples=30,
      num_samples=2, batch_size=20, seed=0, histogram=True))
  results = json.loads(capsys.readouterr().out)
  assert results['images'] == 30
  assert results['images_reconstructed_exactly'] == 30
  assert 2. < results['histogram_bits_per_dim'] < 2.6
  assert 0. < results['standard_error'] < .2
  evaluate.main(types.SimpleNamespace(
      workdir=workdir, weights=None, split=None, max_examples=1,
      num_samples=None, batch_size=20, seed=0, histogram=False))
  results = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
  assert results['standard_error'] is None and results['images'] == 1


def test_sample_draws_what_is_asked_for(workdir, tmp_path, capsys):
  output = tmp_path / 'new' / 'grid.png'
  arguments = dict(
      workdir=workdir, weights='raw', output=str(output), columns=3, rows=2,
      temperatures=['0.7'], classes=['1', '2'], seed=0)
  sample.main(types.SimpleNamespace(**arguments))
  assert capsys.readouterr().out == f'{output}\n'
  assert Image.open(output).height == 2 * 100 + 4
  for change, message in (
      ({'classes': ['11']}, '--classes has 11, which is none of 0 .. 9'),
      ({'classes': ['one']}, '--classes=one: invalid literal'),
      ({'temperatures': ['0.7', 'hot']}, '--temperatures=0.7,hot: could not'),
      ({'temperatures': []}, '--temperatures= has no number')):
    with pytest.raises(ValueError, match=message):
      sample.main(types.SimpleNamespace(**{**arguments, **change}))


def test_judge_wants_classes(plain_run):
  with pytest.raises(ValueError, match='not class-conditional'):
    judge.main(types.SimpleNamespace(
        workdir=plain_run, weights=None, attribute=[]))
