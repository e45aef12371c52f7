"""Checkpoints of Glow's own program."""

from collections.abc import Mapping
import os

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import networks
from tfp_glow.bijectors import actnorm
from tfp_glow.bijectors import channel_permutation
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import factor_out
from tfp_glow.bijectors import invertible_conv
from tfp_glow.bijectors import squeeze
from tfp_glow.bijectors import top_prior
from tfp_glow.checkpoints import tf1
from tfp_glow.flows import glow as glow_lib

# The top prior's variables are added apart.
_WITHOUT_VARIABLES = (
    squeeze.Squeeze, top_prior.TopPrior, tfp.bijectors.Reshape)


def load_openai_glow(
    weights: str | os.PathLike | Mapping[str, np.ndarray],
    image_shape: tuple[int, int, int], averaged: bool = False,
    dtype: tf.DType = tf.float32) -> glow_lib.Glow:
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
  weights = tf1.read_weights(weights, averaged)
  flow = glow_lib.Glow(
      image_shape, dtype=dtype, seed=0, **_glow_config(weights))
  tf1.assign_all(openai_glow_variables(flow), weights,
              ignored='/shuffle/indices_inverse$')
  return flow


def save_openai_glow(flow: glow_lib.Glow, path: str | os.PathLike) -> str:
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
  tf1.check_system(flow, glow_lib.Glow)
  return named_variables(flow)


def named_variables(flow):
  """The same of any `Glow`, which the program need not know.

  Args:
    flow: `Glow`.

  Returns:
    variables: `dict` from names to `StoredVariable`.
  """
  config = flow.get_config()
  variables = {}

  def add(name, variable, shape=None):
    variables[f'model/{name}'] = tf1.StoredVariable(
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
      elif isinstance(layer, channel_permutation.ChannelPermutation):
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
      elif not isinstance(layer, _WITHOUT_VARIABLES):
        raise ValueError(
            f'`flow` has a layer of level {level}, {layer.name}, of the class '
            f"{type(layer).__name__}, which the paper's program does not "
            'know.')

  add_level(0, flow.bijectors)
  if flow.top_prior.network is not None:
    add_conv('prior/p', flow.top_prior.network)
  if flow.top_prior.class_network is not None:
    add_linear('prior/y_emb', flow.top_prior.class_network)
  if flow.classifier is not None:
    add_linear('classifier', flow.classifier)
  return variables


def _glow_config(weights):
  """`Glow`'s arguments, read off names and shapes."""
  shapes = tf1.Shapes(weights, 'Glow')
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
