"""Trains the smallest of models in a process of its own, which may die.

`python -m tests.training.driver WORKDIR SYSTEM [MOMENT] [--config.FIELD=VALUE]`
with a moment at which the process kills itself: `step:K`, once step K has been
trained, `writing:K`, while the checkpoint of step K is being written, or
`evaluated:K`, after the evaluation and before the checkpoint. The environment
may set VIRTUAL_DEVICES, and LARGEST_FILE in bytes, as of a full disk.
"""

import ast
import glob
import os
import resource
import signal
import sys
import threading

import tensorflow as tf

from training import callbacks
from training import config
from training import train

SIZES = {
    'glow': {'levels': 1, 'steps': 1, 'width': 4},
    'real_nvp': {'scales': 1, 'width': 4, 'residual_blocks': 1},
    'nice': {'couplings': 2, 'hidden_layers': 1, 'width': 8},
}


def recipe(system='glow', overrides=()):
  """The recipe, with what the command line would change."""
  tiny = config.get_config(system)
  tiny.model.update(num_bits=4, **SIZES[system])
  tiny.optimizer.update(
      learning_rate=1e-2, warmup_images=0, clip=1., average=.5)
  tiny.update(batch_size=20, steps=12, initial_images=60, eval_images=20,
              eval_every=4, checkpoint_every=2, temperatures=(1.,))
  for override in overrides:
    field, _, value = override.removeprefix('--config.').partition('=')
    if value[:1].isalpha() and value not in ('True', 'False', 'None'):
      value = repr(value)
    tiny.update_from_flattened_dict({field: ast.literal_eval(value)})
  return tiny


def train_briefly(workdir, *overrides):
  """Trains a Glow for two steps in this process; returns the folder."""
  # Deterministic kernels would stay on for what comes later.
  train.train(recipe('glow', [
      '--config.deterministic=False', '--config.steps=2',
      '--config.eval_every=2', *overrides]), str(workdir))
  return workdir


def die():
  os.kill(os.getpid(), signal.SIGKILL)


def install(moment, workdir):
  """Has this process kill itself at a moment."""
  kind, step = moment.split(':')
  step = int(step)
  if kind == 'step':
    trained = callbacks.StopWhenNotFinite.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
      trained(self, batch, logs)
      if self.step == step:
        die()

    callbacks.StopWhenNotFinite.on_train_batch_end = on_train_batch_end
    return

  saved = callbacks.SaveCheckpoints.on_epoch_end

  def on_epoch_end(self, epoch, logs=None):
    if self.step == step:
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


def main(workdir, system, *arguments):
  for moment in arguments:
    if not moment.startswith('--'):
      install(moment, workdir)
  overrides = [a for a in arguments if a.startswith('--')]
  train.train(recipe(system, overrides), workdir)


if __name__ == '__main__':
  devices = int(os.environ.get('VIRTUAL_DEVICES', 1))
  tf.config.set_logical_device_configuration(
      tf.config.list_physical_devices('CPU')[0],
      [tf.config.LogicalDeviceConfiguration()] * devices)
  if largest := int(os.environ.get('LARGEST_FILE', 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
  main(*sys.argv[1:])
