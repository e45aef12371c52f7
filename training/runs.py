"""A working folder: its recipe, and the model as last trained."""

import contextlib
import importlib
import json
import os
import pathlib

import keras
import ml_collections

import tfp_glow
from training import checkpoints
from training import models

WEIGHTS = ('raw', 'averaged')
CHECKPOINTS = 'checkpoints'
_PRETRAINED = 'pretrained:'
_RECIPE = 'config.json'
# What may differ when a run goes on; all else decides its weights.
_MAY_CHANGE = frozenset([
    'steps', 'eval_every', 'eval_images', 'checkpoint_every',
    'keep_checkpoints', 'max_skipped', 'temperatures', 'picture_channels',
    'strategy', 'model.memory',
    'data.eval_split', 'data.data_dir', 'data.cache_dir'])


class WrongFolderError(ValueError):
  """A working folder does not hold what is asked of it."""


def check_folder(workdir, recipe):
  """Sees that a working folder can be written, and is of the same recipe.

  A folder without a checkpoint holds no run, whatever else is in it.

  Args:
    workdir: Python `str`.
    recipe: What `as_recipe` returns.

  Raises:
    OSError: If nothing can be written there.
    WrongFolderError: If the folder is of another recipe.
  """
  folder = pathlib.Path(workdir)
  there = next(path for path in (folder, *folder.absolute().parents)
               if path.exists() or path.is_symlink())
  if not there.is_dir():
    raise NotADirectoryError(
        f'--workdir is {workdir}, but {there} is no folder: name another.')
  if not os.access(there, os.W_OK | os.X_OK):
    raise PermissionError(
        f'--workdir is {workdir}, but nothing can be written into {there}: '
        'name another.')
  if checkpoints.steps(folder / CHECKPOINTS):
    path = folder / _RECIPE
    _check_same(path, _read(path), recipe)


def as_recipe(config, image_shape, num_classes, feature_map_channels=None):
  """All that decides which model is built, as JSON has it.

  Args:
    config: The fields of `config.get_config`.
    image_shape: `(H, W, C)`, of the data.
    num_classes: Python `int`, of the data, or `None`.
    feature_map_channels: Python `int`, of the data, or `None`. Default value:
      `None`.

  Returns:
    recipe: `dict`.
  """
  return json.loads(json.dumps({
      'config': config.to_dict(), 'image_shape': image_shape,
      'num_classes': num_classes,
      'feature_map_channels': feature_map_channels}))


def write_recipe(workdir, recipe):
  """Makes a working folder, and writes into it which run it holds.

  Args:
    workdir: Python `str`.
    recipe: What `as_recipe` returns.
  """
  path = pathlib.Path(workdir) / _RECIPE
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_suffix('.tmp')
  temporary.write_text(json.dumps(recipe, indent=2) + '\n')
  os.replace(temporary, path)


def load(workdir, weights=None):
  """Loads the model that a working folder has, as it was last trained.

  Args:
    workdir: Python `str`; or `'pretrained:NAME'`, a model that comes with the
      package.
    weights: Python `str`, `'raw'` as they are trained, or `'averaged'`, their
      moving average. Default value: `None`, averaged where there is one.

  Returns:
    config: The fields of the recipe.
    model: `FlowModel`.

  Raises:
    WrongFolderError: If the folder has no trained model, or no average.
    ValueError: If no such model comes with the package.
  """
  if str(workdir).startswith(_PRETRAINED):
    return _load_pretrained(workdir.removeprefix(_PRETRAINED), weights)
  path = pathlib.Path(workdir) / _RECIPE
  if not path.exists():
    raise WrongFolderError(
        f'{workdir} is no working folder of a training run: there is no '
        f'{_RECIPE} in it. `python -m training.train` makes one.')
  if not checkpoints.steps(path.with_name(CHECKPOINTS)):
    raise WrongFolderError(f'{workdir} has no checkpoint yet.')
  recipe = _read(path)
  config = ml_collections.ConfigDict(recipe['config'])
  # Runs of before these were fields have none.
  config.data.condition = config.data.get('condition')
  config.picture_channels = config.get('picture_channels')
  if weights is None:
    weights = 'raw' if config.optimizer.average is None else 'averaged'
  if weights == 'averaged' and config.optimizer.average is None:
    raise WrongFolderError(
        f'{workdir} has no averaged weights: its recipe has no '
        '`optimizer.average`.')
  model = models.build(
      config, tuple(recipe['image_shape']), recipe['num_classes'],
      recipe.get('feature_map_channels'))
  models.compile_model(model, config)
  checkpoints.Checkpoints(
      os.path.join(workdir, CHECKPOINTS), model).restore()
  if weights == 'averaged':
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
  return config, model


def _load_pretrained(name, weights):
  """The same of a model that comes with the package."""
  model = tfp_glow.pretrained(name)
  if weights == 'averaged':
    raise WrongFolderError(
        f'{_PRETRAINED}{name} has no averaged weights: it has one set.')
  recipe = importlib.import_module(f'training.configs.{name}_pretrained')
  return recipe.get_config(), model


def results(workdir, output, name=''):
  """Where a command writes: `output`, or else `name` in the working folder.

  Args:
    workdir: Python `str`.
    output: Python `str`, or `None`.
    name: Python `str`, of a file or folder. Default value: `''`, the working
      folder itself.

  Returns:
    path: `pathlib.Path`, whose folder is there.

  Raises:
    ValueError: If neither is a place to write to.
  """
  if output is None and str(workdir).startswith(_PRETRAINED):
    raise ValueError(
        f'--workdir={workdir} is no folder: say where to write by --output.')
  path = pathlib.Path(output or os.path.join(workdir, name))
  (path.parent if name else path).mkdir(parents=True, exist_ok=True)
  return path


@contextlib.contextmanager
def evaluated_weights(model):
  """Within it, a model has the moving average of its weights, if there is one.

  Args:
    model: `FlowModel`, compiled.
  """
  if not model.optimizer.use_ema:
    yield
    return
  swap = keras.callbacks.SwapEMAWeights()
  swap.set_model(model)
  swap.on_test_begin()
  try:
    yield
  finally:
    swap.on_test_end()


def _read(path):
  """Reads which run a working folder holds."""
  try:
    recipe = json.loads(path.read_text())
  except (FileNotFoundError, json.JSONDecodeError) as error:
    raise WrongFolderError(
        f'There are checkpoints beside {path}, which says of which recipe they '
        f'are, but cannot be read: {error}. Name another folder.') from error
  model = recipe['config']['model']
  if 'logit_margin' not in model and model.get('scale') == 'bounded':
    raise WrongFolderError(
        f'{path} is of a run that was trained when `model.scale` "bounded" was '
        '1/2 + sigmoid(h + 2) / 2. It is 2**tanh(h) now, with which its '
        'weights make no sense: train it anew, in another folder.')
  # Runs of before it was a field had RealNVP's.
  model.setdefault('logit_margin', .05)
  return recipe


def _check_same(path, before, now):
  before, now = _flat(before), _flat(now)
  changed = [
      f'{name} was {before.get(name)!r} and is {now.get(name)!r}'
      for name in sorted({*before, *now})
      if before.get(name) != now.get(name)
      and name.removeprefix('config.') not in _MAY_CHANGE]
  if changed:
    raise WrongFolderError(
        f'{path} is of another run: {"; ".join(changed)}. Name another '
        'folder, or go on with the recipe that is there.')


def _flat(value, prefix=''):
  if not isinstance(value, dict):
    return {prefix: value}
  flat = {}
  for name, member in value.items():
    flat.update(_flat(member, f'{prefix}.{name}' if prefix else name))
  return flat
