"""Trains the smallest of models in a process of its own, which may die.

`python -m tests.training.driver WORKDIR [MOMENT] [--config.FIELD=VALUE ...]`
with a moment at which the process kills itself: `step:K`, once step K has been
trained, `writing:K`, while the checkpoint of step K is being written, or
`evaluated:K`, after the evaluation and before the checkpoint.
"""

import glob
import os
import signal
import sys
import threading

from absl import flags
import tensorflow as tf


def recipe(overrides=()):
  """The recipe, with what the command line would change."""
  from ml_collections import config_flags

  from training import config
  tiny = config.get_config('glow')
  tiny.model.update(levels=1, steps=1, width=4, num_bits=4)
  tiny.optimizer.update(learning_rate=1e-2, warmup_images=0, clip=1.)
  tiny.update(batch_size=20, steps=12, initial_images=60, eval_images=20,
              eval_every=4, checkpoint_every=2, temperatures=(1.,))
  values = flags.FlagValues()
  config_flags.DEFINE_config_dict('config', tiny, flag_values=values)
  values(['driver', *overrides])
  return tiny


def die():
  os.kill(os.getpid(), signal.SIGKILL)


def install(moment, workdir):
  """Has this process kill itself at a moment."""
  from training import callbacks
  kind, step = moment.split(':')
  step = int(step)
  if kind == 'step':
    trained = callbacks.StopWhenNotFinite.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
      trained(self, batch, logs)
      if self._step == step:
        die()

    callbacks.StopWhenNotFinite.on_train_batch_end = on_train_batch_end
    return

  saved = callbacks.SaveCheckpoints.on_epoch_end

  def on_epoch_end(self, epoch, logs=None):
    if (epoch + 1) * self._steps_per_epoch == step:
      if kind == 'evaluated':
        die()
      threading.Thread(target=die_while_writing, daemon=True).start()
    saved(self, epoch, logs)

  def die_while_writing():
    # Values go to a file of a temporary name, the index comes last.
    begun = os.path.join(workdir, 'checkpoints', f'step-{step}*')
    while not glob.glob(begun):
      pass
    die()

  callbacks.SaveCheckpoints.on_epoch_end = on_epoch_end


def main(workdir, *arguments):
  from training import train
  moments = [a for a in arguments if ':' in a and not a.startswith('--')]
  for moment in moments:
    install(moment, workdir)
  train.train(
      recipe([a for a in arguments if a.startswith('--')]), workdir)


if __name__ == '__main__':
  devices = int(os.environ.get('VIRTUAL_DEVICES', 1))
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices('CPU')[0],
      [tf.config.LogicalDeviceConfiguration()] * devices)
  main(*sys.argv[1:])
