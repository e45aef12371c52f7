"""Checkpoints that hold all a run needs to go on as if never stopped."""

import glob
import os
import re
import shutil

from absl import logging
import tensorflow as tf

_NAME = 'step'
_ERRORS = (OSError, tf.errors.OpError)


class Checkpoints:
  """Writes and reads the checkpoints of one run.

  A checkpoint has the weights, running averages, optimizer, moving average of
  the weights, counts of skipped steps and the state of the noise; the step
  says where the data goes on. It counts once its index is there, which is
  written last.
  """

  def __init__(self, directory, model, keep=3):
    """Takes a model.

    Args:
      directory: Python `str`, made where needed.
      model: `FlowModel`, compiled, its optimizer built.
      keep: Python `int`, how many are kept. Default value: `3`.
    """
    self._directory = os.fspath(directory)
    self._keep = keep
    self._weights = [variable.value for variable in model.weights]
    self._checkpoint = tf.train.Checkpoint(
        weights=self._weights,
        optimizer=[variable.value for variable in model.optimizer.variables],
        training=model.training_state)
    self._manager = None

  def save(self, step):
    """Writes a checkpoint; earlier ones go only once it is whole.

    Args:
      step: Python `int`, steps that have been trained.

    Returns:
      error: What went wrong, a full disk, say; or `None`.
    """
    if self._manager is None:
      self._remove_half_written()
      self._manager = tf.train.CheckpointManager(
          self._checkpoint, self._directory, max_to_keep=self._keep,
          checkpoint_name=_NAME)
    try:
      self._manager.save(checkpoint_number=step)
    except _ERRORS as error:
      return error
    return None

  def restore(self):
    """Reads the newest checkpoint that can be read.

    Returns:
      step: Python `int`, steps that had been trained, or `None` where there
        is no checkpoint.

    Raises:
      ValueError: If there are checkpoints, but none that can be read, or one
        whose weights are laid out in other variables.
    """
    steps = self.steps()
    for step in reversed(steps):
      path = self._path(step)
      try:
        self._check_layout(path)
        # Checksums are compared; the one before sets every value again.
        self._checkpoint.restore(path).assert_consumed()
      except _ERRORS as error:
        logging.error(
            'The checkpoint %s cannot be read, and the one before it is taken '
            'instead: %s', path, error)
        continue
      return step
    if steps:
      raise ValueError(
          f'None of the {len(steps)} checkpoints in {self._directory} can be '
          'read: put a copy of one there, or start in another folder.')
    return None

  def steps(self):
    """The steps of all whole checkpoints, in their order."""
    return steps(self._directory)

  def _path(self, step):
    return os.path.join(self._directory, f'{_NAME}-{step}')

  def _check_layout(self, path):
    """Raises unless a checkpoint has the weights in the model's variables."""
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    stored = {name: shape for name, shape in shapes.items()
              if name.startswith('weights/')}
    needed = {f'weights/{k}/.ATTRIBUTES/VARIABLE_VALUE': list(variable.shape)
              for k, variable in enumerate(self._weights)}
    if stored != needed:
      raise ValueError(
          f'The checkpoint {path} has {len(stored)} variables, and the model '
          f'{len(needed)}, or of other shapes: it is of another model, or was '
          'written by a version of tfp_glow in which each step had variables '
          'of its own (0.1.0 before alike steps were stacked). Go on with that '
          'version, or start in another folder.')

  def _remove_half_written(self):
    """Removes what a process that was killed has left."""
    for path in glob.glob(os.path.join(self._directory, f'{_NAME}-*_temp')):
      shutil.rmtree(path)


def steps(directory):
  """The steps of all whole checkpoints in a folder, in their order."""
  found = (re.fullmatch(rf'{_NAME}-(\d+)\.index', os.path.basename(path))
           for path in glob.glob(os.path.join(directory, f'{_NAME}-*.index')))
  return sorted(int(match[1]) for match in found if match)
