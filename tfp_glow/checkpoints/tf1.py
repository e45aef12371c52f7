"""Reads TF1 checkpoints, and what both papers' checkpoints have in common."""

import collections
import dataclasses
import os
import re
from typing import Any

import numpy as np
import tensorflow as tf

# What a checkpoint of the programs holds beside the weights: the step, the
# optimizer's variables and the books of the moving averages.
_NOT_WEIGHTS = re.compile(
    r'^(model/)?(global_step|beta[12]_power)$|^Variable(_\d+)?$|'
    r'/(biased|local_step)$|/(Adam(ax)?|RMSProp|Momentum)(_\d+)?$')
_AVERAGED = '/ExponentialMovingAverage'


def read_weights(weights, averaged=False):
  """Reads a mapping from variable names to arrays.

  Args:
    weights: Path of a TF1 checkpoint (its prefix, or the folder that holds
      it), or a mapping from names to arrays.
    averaged: Python `bool`, whether to take exponential moving averages where
      the checkpoint has them. Default value: `False`.

  Returns:
    weights: `dict` from names, less any moving-average suffix, to arrays.

  Raises:
    FileNotFoundError: If there is no checkpoint at the path.
  """
  if isinstance(weights, (str, os.PathLike)):
    path = os.fspath(weights)
    if os.path.isdir(path):
      path = tf.train.latest_checkpoint(path) or path
    if not tf.io.gfile.glob(path + '.index') and not os.path.isfile(path):
      raise FileNotFoundError(
          f'`weights` is {os.fspath(weights)!r}, but there is no TensorFlow '
          'checkpoint there: give its prefix (the path without ".index").')
    reader = tf.train.load_checkpoint(path)
    weights = {n: reader.get_tensor(n)
               for n in reader.get_variable_to_shape_map()}
  weights = {n.removesuffix(':0'): np.asarray(v) for n, v in weights.items()
             if not _NOT_WEIGHTS.search(n.removesuffix(':0'))}
  averages = {n.removesuffix(_AVERAGED): v for n, v in weights.items()
              if n.endswith(_AVERAGED)}
  plain = {n: v for n, v in weights.items() if not n.endswith(_AVERAGED)}
  return {**plain, **averages} if averaged else {**averages, **plain}


@dataclasses.dataclass
class StoredVariable:
  """A variable, and the shape under which a checkpoint has it."""

  variable: Any  # tf.Variable or keras.Variable
  shape: tuple

  def numpy(self):
    return np.reshape(self.variable.numpy(), self.shape)

  def assign(self, value):
    self.variable.assign(np.reshape(value, self.variable.shape))


def check_system(flow, system):
  """Raises unless `flow` is one that the program of its paper could have."""
  if not isinstance(flow, system):
    raise TypeError(
        f'`flow` must be a {system.__name__}, got {type(flow).__name__}.')
  config = flow.get_config()
  for argument in ('feature_map_channels', 'context_size'):
    if config[argument] is not None:
      raise ValueError(
          f'`flow` was built with {argument}={config[argument]}, which the '
          "paper's program does not know.")
  if config.get('scale', 'sigmoid') != 'sigmoid':
    raise ValueError(
        f"`flow` was built with scale={config['scale']!r}, which the paper's "
        "program does not know: its couplings' scale is 'sigmoid'.")


class Shapes:
  """Names and shapes of a checkpoint, to read a system's arguments off."""

  def __init__(self, weights, system):
    self._shapes = {n: v.shape for n, v in weights.items()}
    self._system = system

  def matches(self, pattern):
    """Matches of the names that match `pattern` from end to end."""
    return [m for m in (re.fullmatch(pattern, n) for n in self._shapes) if m]

  def commonest(self, pattern, axis):
    """The size along `axis` that most of the names that match have."""
    sizes = [self._shapes[m[0]][axis] for m in self.matches(pattern)
             if len(self._shapes[m[0]]) > 0]
    if not sizes:
      raise ValueError(
          f"`weights` are not those of a {self._system} of the authors' "
          f'program: no variable matches {pattern!r}; there are '
          f'{sorted(self._shapes)[:5]} and so on.')
    return int(collections.Counter(sizes).most_common(1)[0][0])


def assign_all(variables, weights, ignored=r'(?!)'):
  """Assigns every variable, or raises and assigns none."""
  weights = {n: v for n, v in weights.items() if not re.search(ignored, n)}
  problems = [f'missing: {n} {v.shape}' for n, v in variables.items()
              if n not in weights]
  problems += [f'surplus: {n} {weights[n].shape}' for n in weights
               if n not in variables]
  problems += [
      f'wrong shape: {n} is {weights[n].shape}, {v.shape} is needed'
      for n, v in variables.items()
      if n in weights and weights[n].shape != v.shape]
  if problems:
    raise ValueError('\n  '.join(
        [f'`weights` do not fit, in {len(problems)} variables:', *problems]))
  for name, variable in variables.items():
    variable.assign(weights[name])
