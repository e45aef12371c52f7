"""What the commands have in common: flags, and errors one can act on."""

import pathlib
import sys

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from tfp_glow.flows import presets
from training import callbacks
from training import runs

_SHARED = frozenset(['config', 'workdir', 'weights', 'split', 'output'])
_RECIPES = pathlib.Path(__file__).with_name('configs')


def define_recipe():
  """Defines `--config`, and a flag for each of its fields."""
  config_flags.DEFINE_config_file(
      'config', None, f'The recipe: {_recipes()}. Its fields are listed in '
      'training/config.py, those of data in training/data/config.py, and each '
      'is a flag too: --config.optimizer.learning_rate=3e-4', lock_config=True)
  flags.register_validator(
      'config', lambda recipe: recipe is not None,
      f'A recipe is needed: {_recipes()}.')


def define_workdir():
  """Defines `--workdir`, which must be given."""
  flags.DEFINE_string(
      'workdir', None, 'The working folder of the training run; or '
      'pretrained:faces, the model that comes with the package, and --output.')
  flags.mark_flag_as_required('workdir')


def define_weights():
  """Defines `--weights`."""
  flags.DEFINE_enum(
      'weights', None, runs.WEIGHTS, 'As they are trained, or their moving '
      'average; by default the average where the recipe keeps one.')


def define_split():
  """Defines `--split`."""
  flags.DEFINE_string(
      'split', None, "Which images, in TFDS's syntax; by default those that "
      'the recipe evaluates on.')


def define_folder():
  """Defines `--output`, of a command that draws several pictures."""
  flags.DEFINE_string(
      'output', None, 'The folder of the pictures; by default the working '
      'folder.')


def numbers(flag, texts, kind=float):
  """The numbers of a flag that is a list.

  Args:
    flag: Python `str`, its name.
    texts: List of Python `str`.
    kind: `float` or `int`. Default value: `float`.

  Returns:
    numbers: List of them.

  Raises:
    ValueError: If one is none, or there is none.
  """
  if not texts:
    raise ValueError(f'--{flag}= has no number: at least one is needed.')
  try:
    return [kind(text) for text in texts]
  except ValueError as error:
    raise ValueError(f'--{flag}={",".join(texts)}: {error}.') from error


def run(define_flags, main):
  """Runs a command.

  Flags are defined here and not where a module is imported, so that one
  process can import several commands.

  Args:
    define_flags: Callable that defines the command's flags.
    main: Callable of `flags.FLAGS`.
  """
  define_flags()
  # So that --help shows them too.
  for name in _SHARED.intersection(flags.FLAGS):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
  # TensorFlow tells much at INFO, and TFDS even of itself as warnings.
  logging.set_verbosity(logging.WARNING)
  logging.get_absl_handler().addFilter(
      lambda record: 'tensorflow_datasets' not in record.pathname)

  def explained(argv):
    if len(argv) > 1:
      raise app.UsageError(f'Unknown argument: {argv[1]}')
    try:
      main(flags.FLAGS)
    except (TypeError, ValueError, OSError, callbacks.NotFiniteError) as error:
      # Their messages say what to do; --verbosity=1 says where it happened.
      logging.debug('', exc_info=True)
      sys.exit(explain(error))

  app.run(explained, flags_parser=_parse)


def explain(error):
  """The message of an error, with the notes that were added to it."""
  return '\n'.join([f'Error: {error}', *getattr(error, '__notes__', [])])


def _recipes():
  """The recipes that there are, as `--config` takes them."""
  names = sorted(path.name for path in _RECIPES.glob('*.py')
                 if path.name not in ('__init__.py', 'preset.py'))
  return (f'one of training/configs/ ({", ".join(names)}), or a run of the '
          f'papers, training/configs/preset.py:NAME, where NAME is one of '
          f'{", ".join(presets.PRESETS)}')


def check_recipe(argv):
  """Raises if the recipe is not there, or is no run of the papers."""
  for argument, following in zip(argv, [*argv[1:], '']):
    flag, equals, recipe = argument.partition('=')
    if flag.lstrip('-') != 'config' or not flag.startswith('-'):
      continue
    path, colon, name = (recipe if equals else following).partition(':')
    path = pathlib.Path(path)
    is_preset = path.name == 'preset.py' and path.parent.name == 'configs'
    if not path.is_file():
      raise FileNotFoundError(f'there is no recipe {path}: it is {_recipes()}.')
    if is_preset and name not in presets.PRESETS:
      raise ValueError(f'{path}:{name} is no recipe: it is {_recipes()}.')


def _parse(argv):
  try:
    check_recipe(argv)
    return app.parse_flags_with_usage(argv)
  except AttributeError as error:
    # A field that the recipe does not have; the nearest is named.
    reason = error.args[0]
    if isinstance(reason, KeyError):
      reason = reason.args[0]
    sys.exit(f'Error: --config has no field {reason}')
  except (OSError, ValueError) as error:
    sys.exit(explain(error))
