"""Trains a flow by a recipe, and goes on where an earlier run was stopped.

For example

    python -m training.train --config training/configs/digits.py \\
        --workdir runs/digits --config.batch_size=64

In the working folder it leaves checkpoints, `metrics.jsonl`, pictures and
TensorBoard's event files. Started again with the same command it goes on from
the last checkpoint, and ends with the same weights as if never stopped.
A short trial needs one flag, --config.steps=100.

Recipes are listed below at --config, their fields in training/config.py and
training/data/config.py; docs/training.md and docs/data.md tell more.
"""

import contextlib
import math
import os

from absl import flags
import keras
import numpy as np
import tensorflow as tf

from training import callbacks
from training import checkpoints
from training import command
from training import data
from training import evaluation
from training import models
from training import pictures
from training import runs

_STRATEGIES = {
    'none': tf.distribute.get_strategy,
    'mirrored': tf.distribute.MirroredStrategy,
    'multi_worker': tf.distribute.MultiWorkerMirroredStrategy,
}
_POSITIVE = (lambda value: 0. < value < math.inf, 'a positive number')
_NOT_NEGATIVE = (
    lambda value: 0. <= value < math.inf, 'a number that is not negative')
_MOMENTUM = (lambda value: 0. <= value < 1., 'a number from 0 to below 1')
# Outside of these an optimizer does something else, or nothing.
_RANGES = {
    'learning_rate': _POSITIVE,
    'clip': _POSITIVE,
    'epsilon': _POSITIVE,
    'warmup_images': _NOT_NEGATIVE,
    'scale_l2': _NOT_NEGATIVE,
    'beta_1': _MOMENTUM,
    'beta_2': _MOMENTUM,
    'average': _MOMENTUM,
    'accumulate': (lambda value: value >= 1, 'a positive number'),
}


def define_flags():
  command.define_recipe()
  command.define_workdir()
  flags.DEFINE_bool(
      'download', False, 'Whether a data set that is missing is downloaded.')


def main(values):
  train(values.config, values.workdir, values.download)


def train(config, workdir, download=False):
  """Trains to the recipe's last step.

  Args:
    config: The fields of `config.get_config`.
    workdir: Python `str`, the working folder.
    download: Python `bool`, whether missing data may be downloaded.
      Default value: `False`.

  Returns:
    model: `FlowModel`, as trained.

  Raises:
    ValueError: If the recipe does not fit the data or the folder.
    NotFiniteError: If too many steps in a row are not finite.
  """
  _check(config)
  _tell_of_warmup(config)
  # Before anything is done on a device.
  strategy = _STRATEGIES[config.strategy]()
  keras.utils.set_random_seed(config.seed)
  if config.deterministic:
    tf.config.experimental.enable_op_determinism()

  images = data.open(config.data, download, config.model.num_bits)
  images.train_batches(config.batch_size, config.seed)  # fails, if it does
  pictures.visible(np.zeros([1, 1, images.image_shape[-1]], np.uint8),
                   config.picture_channels)  # fails, if it does
  shapes = (images.image_shape, images.num_classes,
            images.feature_map_channels)
  recipe = runs.as_recipe(config, *shapes)
  chief = strategy.cluster_resolver is None or (
      strategy.cluster_resolver.task_id in (None, 0))
  if chief:
    runs.check_folder(workdir, recipe)
  with strategy.scope():
    model = models.build(config, *shapes)
    models.compile_model(model, config)
    saved = checkpoints.Checkpoints(
        os.path.join(workdir, runs.CHECKPOINTS), model,
        config.keep_checkpoints)
    step = saved.restore()
    if step is None:
      step = 0
      _initialise(model, images, config)
  if step >= config.steps:
    print(f'{workdir} has been trained to step {step} already.')
    return model

  print(images.description)
  print(f'Training a {config.model.system} of {model.count_params():,} '
        f'weights from step {step} to step {config.steps}. The first step '
        'takes longest.', flush=True)
  listeners = [callbacks.StopWhenNotFinite(
      step, config.max_skipped, lambda: (saved.steps() or ['none'])[-1])]
  with contextlib.ExitStack() as stack:
    if chief:
      saving = callbacks.SaveCheckpoints(saved, step, config)
      listeners += [
          stack.enter_context(contextlib.closing(callbacks.Progress(
              step, config.steps, config.batch_size))),
          callbacks.Evaluate(config, images, workdir, step, recipe),
          saving,
      ]
    for stop in _stops(step, config):
      model.fit(
          evaluation.unpacked(model, images.train_batches(
              config.batch_size, config.seed, step)),
          steps_per_epoch=stop - step, callbacks=listeners, verbose=0)
      step = stop
  if chief and saving.error is not None:
    raise saving.error
  return model


def _stops(step, config):
  """After which steps something is due, the last one among them."""
  while step < config.steps:
    step = min(config.steps, *(
        (step // every + 1) * every
        for every in (config.checkpoint_every, config.eval_every)))
    yield step


def _tell_of_warmup(config):
  """Says if the learning rate never gets to where it should."""
  images = config.optimizer.warmup_images
  steps = math.ceil(images / config.batch_size)
  if steps > config.steps:
    rate = config.optimizer.learning_rate
    print(
        f'The warm-up takes {steps:,} steps, of {images:,} images, but the run '
        f'ends at step {config.steps:,}, at a learning rate of '
        f'{rate * config.steps / steps:.2g} where {rate:.2g} is meant: it '
        'shows that all works, not what a model can learn. A shorter warm-up: '
        f'--config.optimizer.warmup_images='
        f'{config.steps * config.batch_size // 10}')


def _initialise(model, images, config):
  """Data-dependent initialisation; workers draw the same images."""
  count = min(config.initial_images, images.num_train)
  pixels, conditions = evaluation.unpack(
      model, images.train_examples(count, config.seed))
  model.adapt(pixels, max_images=count, **conditions)


def _check(config):
  """Fields that fit each other are what all else may count on."""
  if config.strategy not in _STRATEGIES:
    raise ValueError(
        f'`strategy` is {config.strategy!r}, but one of '
        f'{sorted(_STRATEGIES)} is needed.')
  for name in ('batch_size', 'steps', 'initial_images', 'eval_every',
               'eval_images', 'checkpoint_every', 'keep_checkpoints',
               'max_skipped'):
    if config[name] is not None and config[name] < 1:
      raise ValueError(
          f'`{name}` is {config[name]}, but a positive number is needed.')
  if not config.temperatures:
    raise ValueError('`temperatures` is empty: at least one is needed.')
  for name, (is_in, needed) in _RANGES.items():
    value = config.optimizer[name]
    if value is not None and not is_in(value):
      raise ValueError(
          f'`optimizer.{name}` is {value}, but {needed} is needed.')


if __name__ == '__main__':
  command.run(define_flags, main)
