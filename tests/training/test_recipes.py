"""Recipes: one for each preset, and what they say is what the presets say."""

import glob
import importlib
import os
import re

import keras
import numpy as np
import pytest

from tests.training import driver
from tfp_glow.flows import presets
from training import command
from training import config
from training import data
from training import models
from training import processes
from training.configs import preset

_FOLDER = os.path.dirname(config.__file__)
FILES = sorted(
    os.path.basename(path)[:-3]
    for path in glob.glob(os.path.join(_FOLDER, 'configs', '*.py'))
    if not path.endswith('__init__.py'))
NAMES = [name for name in FILES if name != 'preset'] + list(presets.PRESETS)


def recipe(name):
  if name in presets.PRESETS:
    return preset.get_config(name)
  return importlib.import_module(f'training.configs.{name}').get_config()


def test_digits_faces_folders_and_all_presets_have_recipes():
  assert FILES == [
      'digits', 'digits_conditional', 'digits_nice', 'digits_real_nvp',
      'faces', 'faces_downsample', 'faces_grey', 'faces_mask',
      'faces_pretrained', 'glow_mnist', 'image_folder',
      'image_folder_real_nvp', 'preset', 'real_nvp_mnist']


def run(*arguments, **environment):
  return processes.run('training.train', *arguments, environment=environment,
                       capture_errors=True)


def test_help_lists_recipes_and_says_where_fields_are():
  result = run('--help', TF_CPP_MIN_LOG_LEVEL='2')
  text = ' '.join(result.stdout.split())
  for words in ('digits_nice.py', 'image_folder.py', 'preset.py:NAME',
                'glow_cifar10', 'training/config.py',
                'training/data/config.py', '--config.steps=100'):
    assert words in text, words
  assert not result.stderr


@pytest.mark.parametrize('arguments', [
    ['--config=training/configs/digitz.py'], ['--config', 'cifar10'],
    ['--config=training/configs/preset.py'],
    ['--config=training/configs/preset.py:glow_cifar'],
    ['-config=nowhere/preset.py:glow_cifar10']])
def test_a_recipe_that_is_not_there_lists_those_that_are(arguments):
  with pytest.raises((OSError, ValueError), match=(
      'is no recipe|there is no recipe')) as error:
    command.check_recipe(['train', *arguments, '--config.steps=3'])
  for name in ('digits_nice.py', 'preset.py:NAME', 'glow_cifar10'):
    assert name in str(error.value)


def test_a_recipe_that_is_there_passes():
  for path in ('digits.py', 'preset.py:glow_cifar10'):
    command.check_recipe(
        ['train', f'--config={_FOLDER}/configs/{path}', '--config.steps=3'])


@pytest.mark.parametrize('name', NAMES)
def test_a_recipe_has_all_fields_and_no_others(name):
  given = recipe(name)
  fields = config.get_config(given.model.system)
  assert set(given) == set(fields)
  for group in ('data', 'model', 'optimizer'):
    assert set(given[group]) == set(fields[group])
  assert given.steps % given.checkpoint_every == 0
  assert given.eval_every % given.checkpoint_every == 0


@pytest.mark.parametrize('name', presets.PRESETS)
def test_a_preset_reaches_its_recipe(name):
  want, given = presets.get(name), recipe(name)
  model = given.model
  assert model.system == want.system
  assert (model.width, model.num_bits, model.preprocessing) == (
      want.width, want.num_bits, want.preprocessing)
  depth = {'glow': 'steps', 'real_nvp': 'residual_blocks'}[want.system]
  assert model[depth] == getattr(want, depth)
  assert given.data.image_size == want.image_shape[0]
  assert given.batch_size == want.global_batch
  assert given.data.flip == ('flip' in want.augmentation)
  assert bool(given.data.shift) == ('shift' in want.augmentation)
  assert (given.data.crop == 'random') == ('crop' in want.augmentation)
  assert model.class_conditional == (want.num_classes is not None)


def test_a_recipe_builds_the_flow_of_its_preset():
  given = recipe('glow_cifar10_ablation_shuffle_additive')
  given.model.update(steps=1, width=8)
  flow = models.build(given, (32, 32, 3), 10).flow
  want = presets.get('glow_cifar10_ablation_shuffle_additive')
  settings = flow.get_config()
  assert settings['coupling'] == want.coupling == 'additive'
  assert settings['permutation'] == want.permutation == 'shuffle'
  assert settings['levels'] == want.levels
  assert settings['num_classes'] is None


def test_a_recipe_that_is_centred_needs_no_other_margin():
  given = recipe('digits')
  given.model.update(steps=1, width=4)
  assert models.build(given, (8, 8, 1), 10).pixels.logit_margin == 1e-6
  given.model.preprocessing = 'centered'
  model = models.build(given, (8, 8, 1), 10)
  assert model.preprocessing == 'centered'


@pytest.mark.parametrize('name, latent_shapes', [
    ('glow_mnist', [(14, 14, 2), (7, 7, 8)]),
    ('real_nvp_mnist', [(14, 14, 2), (14, 14, 2)])])
def test_recipes_of_mnist_build_flows_of_28_pixels(
    name, latent_shapes, tmp_path):
  given = recipe(name)
  assert given.data.name == 'mnist' and given.model.num_bits == 8
  path = tmp_path / 'mnist.npz'
  digits = np.random.default_rng(0).integers(
      0, 256, (6, 28, 28), dtype=np.uint8)
  np.savez(path, x_train=digits, y_train=[3, 1, 4, 1, 5, 9],
           x_test=digits[:2], y_test=[2, 6])
  given.data.update(name=f'npz:{path}', cache_dir=str(tmp_path))
  images = data.open(given.data)
  depth = {'glow': 'steps', 'real_nvp': 'residual_blocks'}
  given.model.update({'width': 4, depth[given.model.system]: 1})
  model = models.build(given, images.image_shape, images.num_classes)
  models.compile_model(model, given)
  assert model.image_shape == (28, 28, 1)
  assert model.flow.latent_shapes == latent_shapes
  if given.model.system == 'glow':
    assert model.flow.get_config()['scale'] == 'bounded'


@pytest.mark.parametrize('system', ['glow', 'real_nvp'])
def test_a_recipe_says_what_the_gradient_keeps(system):
  given = driver.recipe(system)
  assert models.build(given, (4, 4, 1), None).flow.memory == 'store'
  given.model.memory = 'recompute'
  assert models.build(given, (4, 4, 1), None).flow.memory == 'recompute'


def test_presets_have_the_scale_of_the_paper():
  for name in presets.PRESETS:
    assert recipe(name).model.get('scale', 'sigmoid') == 'sigmoid'


def test_warm_up_is_counted_in_images_and_then_the_schedule_follows():
  given = config.get_config()
  given.optimizer.update(learning_rate=.1, warmup_images=100)
  given.update(batch_size=10, steps=30)
  rates = {}
  for schedule in ('constant', 'cosine'):
    given.optimizer.schedule = schedule
    rate = models.learning_rate(given)
    rates[schedule] = [float(rate(step)) for step in range(31)]
    assert rates[schedule][:11] == pytest.approx(
        [.01 * step for step in range(11)], rel=1e-5)
  assert rates['constant'][11:] == pytest.approx([.1] * 20, rel=1e-5)
  assert rates['cosine'][20] == pytest.approx(.05, rel=1e-5)
  assert rates['cosine'][30] == pytest.approx(0., abs=1e-8)


def test_optimizer_has_what_the_recipe_says():
  given = config.get_config()
  given.model.update(levels=1, steps=1, width=4)
  given.optimizer.update(
      name='adamax', beta_2=.98, clip=7., average=.9, accumulate=3)
  model = models.build(given, (4, 4, 1), None)
  models.compile_model(model, given)
  optimizer = model.optimizer
  assert isinstance(optimizer, keras.optimizers.Adamax)
  assert (optimizer.beta_2, optimizer.global_clipnorm) == (.98, 7.)
  assert (optimizer.use_ema, optimizer.ema_momentum) == (True, .9)
  assert optimizer.gradient_accumulation_steps == 3
  # Training is several calls of `fit`, whose ends must not change a weight.
  weight = model.trainable_weights[0]
  weight.assign_add(keras.ops.ones_like(weight))
  before = weight.numpy()
  optimizer.finalize_variable_values(model.trainable_weights)
  assert (weight.numpy() == before).all()


def test_scales_of_real_nvp_are_penalised():
  given = config.get_config('real_nvp')
  given.model.update(scales=1, width=4, residual_blocks=1)
  given.optimizer.scale_l2 = 5e-5
  model = models.build(given, (4, 4, 1), None)
  scales = [v for v in model.trainable_weights
            if 'magnitude' in v.name or 'rescale' in v.name]
  assert len(scales) == 20
  want = 5e-5 * sum(float((v.numpy()**2).sum()) for v in scales)
  assert float(sum(model.losses)) == pytest.approx(
      want / (16. * 0.6931472), rel=1e-5)
  given.optimizer.scale_l2 = 0.
  assert not models.build(given, (4, 4, 1), None).losses


@pytest.mark.parametrize('field, value, message', [
    ('optimizer.name', 'adm', r"`optimizer.name` is 'adm'.*adamax"),
    ('optimizer.schedule', 'linear', "`optimizer.schedule` is 'linear'"),
    ('model.memory', 'keep', r"`model.memory` is 'keep'.*recompute.*store"),
    ('model.scale', 'bound', r"`model.scale` is 'bound'.*bounded.*sigmoid"),
    ('model.permutation', 'qr', r"`model.permutation` is 'qr'.*conv1x1"),
    ('model.coupling', 'sum', r"`model.coupling` is 'sum'.*additive"),
])
def test_a_value_that_does_not_exist_is_named(field, value, message):
  given = config.get_config()
  given.model.update(levels=1, steps=1, width=4)
  given.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    models.compile_model(models.build(given, (4, 4, 1), None), given)


def test_a_field_that_does_not_exist_is_refused():
  given = config.get_config()
  for fields in (given, given.data, given.model, given.optimizer,
                 data.get_config()):
    with pytest.raises(KeyError, match='imagesize.* does not exist'):
      fields.update(imagesize=32)


def test_classes_that_are_not_there_are_refused():
  given = config.get_config()
  given.model.class_conditional = True
  with pytest.raises(ValueError, match='has no classes'):
    models.build(given, (4, 4, 1), None)
  given = config.get_config('nice')
  given.model.class_conditional = True
  with pytest.raises(ValueError, match="only the system 'glow'"):
    models.build(given, (4, 4, 1), 10)


@pytest.mark.parametrize('system, fields, shape, fits', [
    ('glow', {'levels': 3}, (28, 28, 1),
     '28x28. What fits: `data.image_size` of 32x32; or `data.pad` of 2, which '
     'makes them 32x32; or `model.levels` of 2 or less.'),
    ('glow', {'levels': 2}, (30, 20, 3),
     '30x20. What fits: `data.image_size` of 32x20; or `model.levels` of 1.'),
    ('glow', {'levels': 4}, (33, 33, 3),
     '33x33. What fits: `data.image_size` of 48x48.'),
    ('real_nvp', {'scales': 4}, (28, 28, 1),
     '`model.scales` is 4, for which sides of images must be multiples of 8, '
     'but these are 28x28. What fits: `data.image_size` of 32x32; or '
     '`data.pad` of 2, which makes them 32x32; or `model.scales` of 3 or '
     'less.')])
def test_sizes_that_do_not_fit_say_what_does(system, fields, shape, fits):
  given = config.get_config(system)
  given.model.update(fields)
  with pytest.raises(ValueError, match=re.escape(fits)):
    models.build(given, shape, None)


def test_what_fits_does_fit():
  given = config.get_config()
  given.model.update(levels=2, steps=1, width=4)
  assert models.build(given, (28, 28, 1), None).image_shape == (28, 28, 1)


def test_an_unknown_field_suggests_the_nearest():
  result = run('--workdir=nowhere', f'--config={_FOLDER}/configs/digits.py',
               '--config.batch_sise=3')
  assert result.returncode == 1
  assert 'batch_sise' in result.stderr and 'Traceback' not in result.stderr
  assert 'Did you mean "batch_size"' in result.stderr
