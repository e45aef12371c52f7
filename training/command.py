"""What the commands have in common: flags, and errors one can act on."""

import contextlib
import sys

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from training import callbacks
from training import runs


def define_recipe():
  """Defines `--config`, and a flag for each of its fields."""
  return config_flags.DEFINE_config_file(
      'config', None, 'The recipe, a file of training/configs/. Its fields '
      'are in training/config.py, and each is a flag too: '
      '--config.optimizer.learning_rate=3e-4', lock_config=True)


def define_workdir():
  """Defines `--workdir`, which must be given."""
  holder = flags.DEFINE_string(
      'workdir', None, 'The working folder of the training run.')
  flags.mark_flag_as_required('workdir')
  return holder


def define_weights():
  """Defines `--weights`."""
  return flags.DEFINE_enum(
      'weights', None, runs.WEIGHTS, 'As they are trained, or their moving '
      'average; by default the average where the recipe keeps one.')


def refuse_arguments(argv):
  """Raises an error for what is no flag."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown argument: {argv[1]}')


@contextlib.contextmanager
def explained_errors():
  """Ends the program with the message of an error that users can mend."""
  try:
    yield
  except (ValueError, callbacks.NotFiniteError) as error:
    logging.debug('Where it happened:', exc_info=True)
    sys.exit(f'{type(error).__name__}: {error}')


def run(main):
  """Runs a command's `main`, once flags are read."""
  logging.set_verbosity(logging.WARNING)
  app.run(main, flags_parser=_parse)


def _parse(argv):
  try:
    return app.parse_flags_with_usage(argv)
  except AttributeError as error:
    # A field that the recipe does not have.
    sys.exit(f'FATAL Flags parsing error: --config has no field {error}')
