"""Reads and writes the checkpoints of the two papers' own programs."""

import collections
import dataclasses
import itertools
import os
import re
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow import glow as glow_lib
from tfp_glow import networks
from tfp_glow import real_nvp as real_nvp_lib
from tfp_glow.bijectors import actnorm
from tfp_glow.bijectors import batch_norm
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import factor_out
from tfp_glow.bijectors import invertible_conv
from tfp_glow.bijectors import permutation
from tfp_glow.bijectors import squeeze

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


def load_openai_glow(weights, image_shape, averaged=False, dtype=tf.float32):
  """Builds a `Glow` with the weights of the paper's own program.

  Levels, steps, width, coupling, permutation, priors and the classifier head
  are read off names and shapes.

  Args:
    weights: Path of a TF1 checkpoint (its prefix, or the folder that holds
      it), or a mapping from variable names to arrays. Names of exponential
      moving averages are taken where the plain ones are missing.
    image_shape: `(H, W, C)`.
    averaged: Python `bool`, whether to prefer the moving averages where both
      are there. Default value: `False`.
    dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.

  Returns:
    flow: A `Glow`.

  Raises:
    FileNotFoundError: If there is no checkpoint at the path.
    ValueError: If variables are missing, surplus or of the wrong shape; the
      message lists all of them.

  #### Examples

  >>> flow = Glow((4, 4, 1), levels=1, steps=1, width=2, seed=0)
  >>> weights = {name: value.numpy() for name, value in
  ...            openai_glow_variables(flow).items()}
  >>> load_openai_glow(weights, (4, 4, 1)).latent_shapes
  [(2, 2, 4)]
  """
  weights = read_weights(weights, averaged)
  flow = glow_lib.Glow(
      image_shape, dtype=dtype, seed=0, **_glow_config(weights))
  _assign_all(openai_glow_variables(flow), weights,
              ignored='/shuffle/indices_inverse$')
  return flow


def load_dinh_real_nvp(weights, image_shape, averaged=False, dtype=tf.float32):
  """Builds a `RealNVP` with the weights of the paper's own program.

  Scales, width and residual blocks are read off names and shapes.

  Args:
    weights: Path of a TF1 checkpoint (its prefix, or the folder that holds
      it), or a mapping from variable names to arrays. Names of exponential
      moving averages are taken where the plain ones are missing.
    image_shape: `(H, W, C)`.
    averaged: Python `bool`, whether to prefer the moving averages where both
      are there. Default value: `False`.
    dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.

  Returns:
    flow: A `RealNVP`.

  Raises:
    FileNotFoundError: If there is no checkpoint at the path.
    ValueError: If variables are missing, surplus or of the wrong shape; the
      message lists all of them.

  #### Examples

  >>> flow = RealNVP((4, 4, 1), width=2, residual_blocks=1, seed=0)
  >>> weights = {name: value.numpy() for name, value in
  ...            dinh_real_nvp_variables(flow).items()}
  >>> load_dinh_real_nvp(weights, (4, 4, 1)).latent_shapes
  [(2, 2, 2), (2, 2, 2)]
  """
  weights = read_weights(weights, averaged)
  flow = real_nvp_lib.RealNVP(
      image_shape, dtype=dtype, seed=0, **_real_nvp_config(weights))
  # A batch normalisation's `step` counts updates; nothing is computed from it.
  _assign_all(dinh_real_nvp_variables(flow), weights, ignored='/step$')
  return flow


def save_openai_glow(flow, path):
  """Writes a `Glow` as a TF1 checkpoint that the paper's program restores.

  Args:
    flow: `Glow` without conditions other than classes.
    path: Python `str`, the checkpoint's prefix.

  Returns:
    path: The prefix.

  Raises:
    TypeError: If `flow` is not a `Glow`.
    ValueError: If it has a condition that the program does not know.
  """
  variables = openai_glow_variables(flow)
  path = os.fspath(path)
  tf.io.gfile.makedirs(os.path.dirname(os.path.abspath(path)))
  arrays = {name: v.numpy() for name, v in variables.items()}
  for name in [n for n in arrays if n.endswith('shuffle/indices')]:
    arrays[name + '_inverse'] = np.argsort(arrays[name]).astype(np.int32)
  # The format of TF1's Saver since 1.0, written by the op that it uses.
  tf.raw_ops.SaveV2(
      prefix=path, tensor_names=list(arrays),
      shape_and_slices=[''] * len(arrays), tensors=list(arrays.values()))
  return path


@dataclasses.dataclass
class StoredVariable:
  """A variable, and the shape under which a checkpoint has it."""

  variable: Any  # tf.Variable or keras.Variable
  shape: tuple

  def numpy(self):
    return np.reshape(self.variable.numpy(), self.shape)

  def assign(self, value):
    self.variable.assign(np.reshape(value, self.variable.shape))


def openai_glow_variables(flow):
  """A `Glow`'s variables by the names of the paper's program.

  Args:
    flow: `Glow`.

  Returns:
    variables: `dict` from names to `StoredVariable`.

  Raises:
    TypeError: If `flow` is not a `Glow`.
    ValueError: If it has a condition that the program does not know.
  """
  _check_system(flow, glow_lib.Glow)
  config = flow.get_config()
  variables = {}

  def add(name, variable, shape=None):
    variables[f'model/{name}'] = StoredVariable(
        variable, tuple(variable.shape if shape is None else shape))

  def add_conv(name, conv):
    """`conv2d` with actnorm, or `conv2d_zeros`, of the program."""
    add(f'{name}/W', conv.kernel)
    channels = conv.kernel.shape[-1]
    if isinstance(conv, networks.ActNormConv2D):
      add(f'{name}/actnorm_center/b', conv.shift, (1, 1, 1, channels))
      add(f'{name}/actnorm_scale/logs', conv.log_scale, (1, 1, 1, channels))
    else:
      add(f'{name}/b', conv.bias, (1, 1, 1, channels))
      add(f'{name}/logs', conv.log_scale, (1, channels))

  def add_linear(name, dense):
    add(f'{name}/W', dense.kernel)
    add(f'{name}/b', dense.bias, (1, dense.units))
    add(f'{name}/logs', dense.log_scale, (1, dense.units))

  def add_level(level, layers):
    step = 0
    for layer in layers:
      name = f'{level}/{step}'
      if isinstance(layer, actnorm.ActNorm):
        shape = (1, 1, 1, layer.channels)
        add(f'{name}/actnorm_center/b', layer.shift, shape)
        add(f'{name}/actnorm_scale/logs', layer.log_scale, shape)
      elif isinstance(layer, invertible_conv.InvertibleConv):
        add(f'{name}/invconv/W', layer.kernel)
      elif isinstance(layer, invertible_conv.InvertibleConvLU):
        for stored, variable in (
            ('P', layer.permutation), ('L', layer.lower), ('U', layer.upper),
            ('sign_S', layer.sign), ('log_S', layer.log_s)):
          add(f'{name}/invconv/{stored}', variable)
      elif isinstance(layer, permutation.ChannelPermutation):
        if config['permutation'] == 'shuffle':
          add(f'{name}/shuffle/indices', layer.order)
      elif isinstance(layer, coupling.Coupling):
        network = layer.conditioner
        add_conv(f'{name}/f1/l_1', network.conv_1)
        add_conv(f'{name}/f1/l_2', network.conv_2)
        add_conv(f'{name}/f1/l_last', network.conv_last)
        step += 1
      elif isinstance(layer, factor_out.FactorOut):
        add_conv(f'pool{level}/conv', layer.conditioner)
        add_level(level + 1, layer.rest.bijectors)

  add_level(0, flow.bijectors)
  if flow.top_prior.network is not None:
    add_conv('prior/p', flow.top_prior.network)
  if flow.top_prior.class_network is not None:
    add_linear('prior/y_emb', flow.top_prior.class_network)
  if flow.classifier is not None:
    add_linear('classifier', flow.classifier)
  return variables


def dinh_real_nvp_variables(flow):
  """A `RealNVP`'s variables by the names of the paper's program.

  Args:
    flow: `RealNVP`.

  Returns:
    variables: `dict` from names to `StoredVariable`.

  Raises:
    TypeError: If `flow` is not a `RealNVP`.
    ValueError: If it has a condition that the program does not know.
  """
  _check_system(flow, real_nvp_lib.RealNVP)
  variables = {}

  def add(name, variable):
    variables[f'model/{name}'] = StoredVariable(
        variable, tuple(variable.shape))

  def add_moments(name, mean, variance):
    add(f'{name}/mean', mean)
    add(f'{name}/var', variance)

  def add_norm(name, norm):
    add_moments(name, norm.running_mean, norm.running_variance)
    add(f'{name}/beta', norm.offset)

  def add_conv(name, conv):
    add(f'{name}/weights', conv.kernel)
    if conv.use_magnitude:
      add(f'{name}/magnitude', conv.magnitude)
    if conv.use_bias:
      add(f'{name}/biases', conv.bias)

  def add_network(name, network):
    add_norm(f'{name}/bn_in', network.norm_in)
    name = f'{name}/resnet'
    add_conv(f'{name}/h_in', network.conv_in)
    add_conv(f'{name}/skip_in', network.skip_in)
    for k, (block, skip) in enumerate(zip(network.blocks, network.skips)):
      add_norm(f'{name}/block_{k}/bn_in', block.norm_in)
      add_conv(f'{name}/block_{k}/h_0', block.conv_1)
      add_norm(f'{name}/block_{k}/bn_0', block.norm_1)
      add_conv(f'{name}/block_{k}/out', block.conv_out)
      add_conv(f'{name}/skip_{k}', skip)
    add_norm(f'{name}/bn_pre_out', network.norm_out)
    add_conv(f'{name}/out', network.conv_out)

  def add_scale(scale, layers):
    # The program's channel couplings are numbered 4 to 6; only the last scale
    # has a coupling 3.
    numbers = itertools.count()
    rescale = 'rescaling_scale'
    for layer in layers:
      if isinstance(layer, squeeze.Squeeze):
        numbers, rescale = itertools.count(4), 'scale'
      elif isinstance(layer, coupling.Coupling):
        name = f'scale_{scale}/coupling_{next(numbers)}'
        add_network(name, layer.conditioner)
        add(f'{name}/{rescale}', layer.rescale)
      elif isinstance(layer, batch_norm.BatchNorm):
        add_moments(f'{name}/bn_out', layer.running.mean,
                    layer.running.variance)
      elif isinstance(layer, factor_out.FactorOut):
        add_scale(scale + 1, layer.rest.bijectors)

  add_scale(0, flow.bijectors)
  return variables


def _check_system(flow, system):
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


class _Shapes:
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


def _real_nvp_config(weights):
  """`RealNVP`'s arguments, read off names and shapes."""
  shapes = _Shapes(weights, 'RealNVP')
  coupling_0 = r'model/scale_0/coupling_[0-3]/resnet/'
  width = shapes.commonest(coupling_0 + r'h_in/weights', -1)
  scales = shapes.matches(r'model/scale_(\d+)/.*')
  blocks = shapes.matches(r'.*/resnet/(?:block|skip)_(\d+)/.*')
  return {
      'scales': 1 + max(int(m[1]) for m in scales),
      'width': width,
      'residual_blocks': 1 + max((int(m[1]) for m in blocks), default=0),
  }


def _glow_config(weights):
  """`Glow`'s arguments, read off names and shapes."""
  shapes = _Shapes(weights, 'Glow')
  matches, commonest = shapes.matches, shapes.commonest
  steps = matches(r'model/(\d+)/(\d+)/.*')
  width = commonest(r'model/\d+/\d+/f1/l_1/W', -1)
  first = r'model/0/\d+/'
  channels = commonest(first + 'actnorm_center/b', -1)
  outputs = commonest(first + 'f1/l_last/W', -1)
  if matches(r'.*/invconv/W'):
    kind = 'conv1x1'
  elif matches(r'.*/invconv/.*'):
    kind = 'lu'
  elif matches(r'.*/shuffle/.*'):
    kind = 'shuffle'
  else:
    kind = 'reverse'
  return {
      'levels': 1 + max(int(m[1]) for m in steps),
      'steps': 1 + max(int(m[2]) for m in steps),
      'width': width,
      'coupling': 'affine' if outputs == channels else 'additive',
      'permutation': kind,
      'learn_top': bool(matches(r'model/prior/p/.*')),
      'num_classes': (commonest(r'model/prior/y_emb/W', 0)
                      if matches(r'model/prior/y_emb/.*') else None),
      'classifier': bool(matches(r'model/classifier/.*')),
  }


def _assign_all(variables, weights, ignored=r'(?!)'):
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
