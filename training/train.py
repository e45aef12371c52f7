"""Trains a flow by a recipe, and goes on where an earlier run was stopped.

For example

    python -m training.train --config training/configs/digits.py \\
        --workdir runs/digits --config.batch_size=64

In the working folder it leaves checkpoints, `metrics.jsonl`, pictures and
TensorBoard's event files. Started again with the same command it goes on from
the last checkpoint, and ends with the same weights as if never stopped.
"""

import os

from absl import flags
import keras
import tensorflow as tf

from training import callbacks
from training import checkpoints
from training import command
from training import data
from training import models
from training import runs

_STRATEGIES = {
    'none': tf.distribute.get_strategy,
    'mirrored': tf.distribute.MirroredStrategy,
    'multi_worker': tf.distribute.MultiWorkerMirroredStrategy,
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
  # Before anything is done on a device.
  strategy = _STRATEGIES[config.strategy]()
  keras.utils.set_random_seed(config.seed)
  if config.deterministic:
    tf.config.experimental.enable_op_determinism()

  images = data.open(config.data, download)
  chief = strategy.cluster_resolver is None or (
      strategy.cluster_resolver.task_id in (None, 0))
  if chief:
    runs.open_folder(
        workdir, config, images.image_shape, images.num_classes)
  with strategy.scope():
    model = models.build(config, images.image_shape, images.num_classes)
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

  print(f'Training a {config.model.system} of {model.count_params():,} '
        f'weights on {images.num_train:,} images, from step {step} to step '
        f'{config.steps}. The first step takes longest.', flush=True)
  listeners = [callbacks.StopWhenNotFinite(
      step, config.max_skipped, lambda: (saved.steps() or ['none'])[-1])]
  if chief:
    saving = callbacks.SaveCheckpoints(saved, config.checkpoint_every)
    listeners += [
        callbacks.Progress(step, config.steps, config.batch_size),
        callbacks.Evaluate(config, images, workdir, step),
        saving,
    ]
  model.fit(
      images.train_batches(config.batch_size, config.seed, start_step=step),
      steps_per_epoch=config.checkpoint_every,
      initial_epoch=step // config.checkpoint_every,
      epochs=config.steps // config.checkpoint_every,
      callbacks=listeners, verbose=0)
  if chief and saving.error is not None:
    raise saving.error
  return model


def _initialise(model, images, config):
  """Data-dependent initialisation; workers draw the same images."""
  count = min(config.initial_images, images.num_train)
  examples = images.train_examples(count, config.seed)
  pixels, labels = examples if isinstance(examples, tuple) else (
      examples, None)
  if 'label' not in model.condition_names:
    labels = None
  model.adapt(pixels, labels, max_images=count)


def _check(config):
  """Fields that fit each other are what all else may count on."""
  if config.strategy not in _STRATEGIES:
    raise ValueError(
        f'`strategy` is {config.strategy!r}, but one of '
        f'{sorted(_STRATEGIES)} is needed.')
  for name in ('batch_size', 'steps', 'initial_images', 'eval_every',
               'checkpoint_every', 'keep_checkpoints'):
    if config[name] < 1:
      raise ValueError(
          f'`{name}` is {config[name]}, but a positive number is needed.')
  for name in ('steps', 'eval_every'):
    if config[name] % config.checkpoint_every:
      raise ValueError(
          f'`{name}` is {config[name]}, but a multiple of '
          f'`checkpoint_every`, {config.checkpoint_every}, is needed.')


if __name__ == '__main__':
  command.run(define_flags, main)
