"""Checkpoints of RealNVP's own program."""

from collections.abc import Mapping
import itertools
import os

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors import batch_norm
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import factor_out
from tfp_glow.bijectors import squeeze
from tfp_glow.checkpoints import tf1
from tfp_glow.flows import real_nvp as real_nvp_lib


def load_dinh_real_nvp(
    weights: str | os.PathLike | Mapping[str, np.ndarray],
    image_shape: tuple[int, int, int], averaged: bool = False,
    dtype: tf.DType = tf.float32) -> real_nvp_lib.RealNVP:
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
  weights = tf1.read_weights(weights, averaged)
  flow = real_nvp_lib.RealNVP(
      image_shape, dtype=dtype, seed=0, **_real_nvp_config(weights))
  # A batch normalisation's `step` counts updates; nothing is computed from it.
  tf1.assign_all(dinh_real_nvp_variables(flow), weights, ignored='/step$')
  return flow


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
  tf1.check_system(flow, real_nvp_lib.RealNVP)
  variables = {}

  def add(name, variable):
    variables[f'model/{name}'] = tf1.StoredVariable(
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


def _real_nvp_config(weights):
  """`RealNVP`'s arguments, read off names and shapes."""
  shapes = tf1.Shapes(weights, 'RealNVP')
  coupling_0 = r'model/scale_0/coupling_[0-3]/resnet/'
  width = shapes.commonest(coupling_0 + r'h_in/weights', -1)
  scales = shapes.matches(r'model/scale_(\d+)/.*')
  blocks = shapes.matches(r'.*/resnet/(?:block|skip)_(\d+)/.*')
  return {
      'scales': 1 + max(int(m[1]) for m in scales),
      'width': width,
      'residual_blocks': 1 + max((int(m[1]) for m in blocks), default=0),
  }
