"""Glow: Kingma and Dhariwal, 2018. https://arxiv.org/abs/1807.03039"""

import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import execution
from tfp_glow import networks
from tfp_glow.bijectors import actnorm
from tfp_glow.bijectors import chain
from tfp_glow.bijectors import channel_permutation
from tfp_glow.bijectors import conditioner
from tfp_glow.bijectors import coupling as coupling_lib
from tfp_glow.bijectors import factor_out
from tfp_glow.bijectors import invertible_conv
from tfp_glow.bijectors import squeeze
from tfp_glow.bijectors import top_prior as top_prior_lib
from tfp_glow.flows import multiscale_flow

tfb = tfp.bijectors

COUPLINGS = ('affine', 'additive')
SCALES = ('sigmoid', 'bounded')
# Of the split priors of a flow with bounded scales: next to the couplings they
# are what amplifies (docs/stability.md).
_MAX_LOG_SCALE = 5.
PERMUTATIONS = {
    'conv1x1': invertible_conv.InvertibleConv,
    'lu': invertible_conv.InvertibleConvLU,
    'shuffle': channel_permutation.ChannelPermutation.shuffle,
    'reverse': lambda channels, seed, dtype: (
        channel_permutation.ChannelPermutation.reverse(channels, dtype=dtype)),
}


@keras.saving.register_keras_serializable('tfp_glow')
class Glow(multiscale_flow.MultiscaleFlow):
  """Glow, exactly as its authors' program computes it.

  ```none
  level:  squeeze, then `steps` times  actnorm, permutation, coupling;
          then half of the channels leaves, under a Gaussian that a network
          makes of what stays
  top:    the last level's latent, under a learned Gaussian
  ```

  `forward` goes from a flat latent `[..., H*W*C]` to an image `[..., H, W, C]`
  in `[-0.5, 0.5)`, `inverse` back (Figure 2 of [1], read upwards).

  #### Examples

  >>> glow = Glow((8, 8, 3), levels=2, steps=2, width=8, seed=0)
  >>> glow.latent_shapes
  [(4, 4, 6), (2, 2, 24)]
  >>> images = tf.random.stateless_uniform([5, 8, 8, 3], [0, 0]) - .5
  >>> latents = glow.initialize(images)
  >>> glow.inverse(images).shape
  TensorShape([5, 192])

  #### References

  [1]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
       Convolutions. 2018. https://arxiv.org/abs/1807.03039
  """

  def __init__(self, image_shape: tuple[int, int, int], levels: int = 3,
               steps: int = 32, width: int = 512, coupling: str = 'affine',
               permutation: str = 'conv1x1', learn_top: bool = True,
               num_classes: int | None = None, classifier: bool = False,
               feature_map_channels: int | None = None,
               context_size: int | None = None, scale: str = 'sigmoid',
               memory: str = 'store', seed: int | None = None,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'glow'):
    """Builds the flow with random weights; see `initialize`.

    Args:
      image_shape: `(H, W, C)`, `H` and `W` multiples of `2**levels`.
      levels: Python `int`, number of levels `L`. Default value: `3`.
      steps: Python `int`, steps of flow a level, `K`. Default value: `32`.
      width: Python `int`, channels inside the couplings' networks.
        Default value: `512`.
      coupling: Python `str`, `'affine'` or `'additive'`. Default value:
        `'affine'`.
      permutation: Python `str`, `'conv1x1'`, `'lu'`, `'shuffle'` or
        `'reverse'`. Default value: `'conv1x1'`.
      learn_top: Python `bool`, whether the top prior is learned.
        Default value: `True`.
      num_classes: Python `int` or `None`. If given, the top prior has a mean
        and scale for each class, and every call takes `label=`, integers
        `[N]`. Default value: `None`.
      classifier: Python `bool`, whether there is a head that tells the class
        from the top latent; see `class_logits`. Default value: `False`.
      feature_map_channels: Python `int` or `None`. If given, every call takes
        `feature_map=`, `[..., H, W, feature_map_channels]`, which every
        coupling and split prior sees, squeezed as the image is. Default value:
        `None`.
      context_size: Python `int` or `None`. If given, every call takes
        `context=`, `[..., context_size]`, which every coupling and split
        prior sees. Default value: `None`.
      scale: Python `str`, of affine couplings: `'sigmoid'`, the paper's, or
        `'bounded'`, with which samples do not break down; see
        `AffineCoupling`. The split priors' scale is bounded with it.
        Default value: `'sigmoid'`.
      memory: Python `str`, what the gradient keeps. `'store'` is every
        activation; `'recompute'` one image for each level, from which the
        rest is computed again, at the price of one more evaluation of each
        network: see `Chain`. Default value: `'store'`.
      seed: Python `int` or `None`, of all random weights. Default value:
        `None`.
      dtype: `tf.float32` or `tf.float64`. The networks have Keras's global
        policy if its variables are of this type, else this type.
        Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'glow'`.

    Raises:
      ValueError: If a size is not positive or does not divide, or `coupling`,
        `permutation` or `memory` has no such name.
    """
    config = multiscale_flow.config_of(locals())
    multiscale_flow.checked_positive(levels=levels, steps=steps, width=width)
    for argument, value, choices in (
        ('coupling', coupling, COUPLINGS),
        ('scale', scale, SCALES),
        ('permutation', permutation, tuple(PERMUTATIONS))):
      if value not in choices:
        raise ValueError(
            f'`{argument}` must be one of {choices}, got {value!r}.')
    for argument, size in (('num_classes', num_classes),
                           ('feature_map_channels', feature_map_channels),
                           ('context_size', context_size)):
      if size is not None:
        multiscale_flow.checked_positive(**{argument: size})
    if classifier and num_classes is None:
      raise ValueError('`classifier=True` needs `num_classes`.')
    self._image_shape = config['image_shape'] = (
        multiscale_flow.checked_image_shape(
            image_shape, levels, 'levels', levels))
    self._num_classes = num_classes

    seeds = multiscale_flow.seeds(seed)
    shapes, latent_shapes = _shapes(self._image_shape, levels)
    self._classifier = None
    if classifier:
      network = networks.ZeroDense(
          num_classes, dtype=config['dtype'], name='classifier')
      network.build((None, shapes[-1][-1]))
      self._classifier = network
    self._top_prior = _top_prior(
        shapes[-1], learn_top, num_classes, config['dtype'], validate_args)
    # From the top down: what stays of a level goes through the next.
    by_level = [[
        squeeze.Squeeze(dtype=dtype),
        *_steps_of_flow(shape, level, config, seeds),
    ] for level, shape in enumerate(shapes)]
    layers = [*by_level.pop(), self._top_prior, tfb.Reshape(
        event_shape_out=shapes[-1], event_shape_in=(math.prod(shapes[-1]),))]
    for level in range(levels - 2, -1, -1):
      layers = [*by_level.pop(), factor_out.FactorOut(
          chain.Chain(layers, memory, name=f'level_{level + 1}'),
          _split_prior(shapes[level], level, config),
          dtype=dtype,
          max_log_scale=_MAX_LOG_SCALE if scale == 'bounded' else None)]
    super().__init__(layers, latent_shapes, config, validate_args, name)
    self._classifier = self._classifier and conditioner.Conditioner(
        self._classifier)

  @property
  def image_shape(self):
    """`(H, W, C)`."""
    return self._image_shape

  @property
  def num_classes(self):
    """Python `int`, number of classes, or `None`."""
    return self._num_classes

  @property
  def top_prior(self):
    """The `TopPrior` layer."""
    return self._top_prior

  @property
  def classifier(self):
    """The Keras layer of the classifier head, or `None`."""
    return self._classifier and self._classifier.network

  def top_latent(self, z: tf.Tensor, label: Any = None) -> tf.Tensor:
    """The top latent as it was before it was standardised.

    Args:
      z: `Tensor` `[..., D]`, flat latents.
      label: Integers `[...]` that `z` was encoded with, if the model is
        class-conditional. Default value: `None`.

    Returns:
      top: `Tensor` `[..., h, w, c]`, of the last of `latent_shapes`.
    """
    conditions = {} if self._num_classes is None else {'label': label}
    return self._top_prior.forward(self.split_latent(z)[-1], **conditions)

  def class_logits(self, z: tf.Tensor, label: Any) -> tf.Tensor:
    """Log-odds of the classes, from the mean of the top latent over pixels.

    Args:
      z: `Tensor` `[N, D]`, flat latents.
      label: Integers `[N]` that `z` was encoded with. The result does not
        depend on them: they undo their own part in the encoding.

    Returns:
      logits: `Tensor` `[N, num_classes]`.

    Raises:
      ValueError: If the model was built without `classifier=True`.
    """
    if self._classifier is None:
      raise ValueError('`class_logits` needs a Glow with `classifier=True`.')
    top = self.top_latent(z, label)
    return self._classifier(tf.reduce_mean(top, [-3, -2]), 1)


def _shapes(image_shape, levels):
  """Returns the shapes of the levels' images and of their latents."""
  height, width, channels = image_shape
  shapes, latent_shapes = [], []
  for level in range(levels):
    height, width, channels = height // 2, width // 2, channels * 4
    shapes.append((height, width, channels))
    if level < levels - 1:
      channels //= 2
    latent_shapes.append((height, width, channels))
  return shapes, latent_shapes


def _steps_of_flow(shape, level, config, seeds):
  """Returns the layers of a level's steps (Section 3, Table 1)."""
  steps = [_step_of_flow(shape, level, config, seeds)
           for _ in range(config['steps'])]
  for alike in zip(*steps):
    execution.stack_weights(alike, f'level_{level}/{alike[0].name}')
  return [layer for step in steps for layer in step]


def _step_of_flow(shape, level, config, seeds):
  """Returns actnorm, permutation and coupling, nearest to the data first."""
  height, width, channels = shape
  dtype = tf.as_dtype(config['dtype'])
  affine = config['coupling'] == 'affine'
  network = networks.GlowNetwork(
      channels if affine else channels // 2, config['width'],
      interleaved=affine, seed=next(seeds),
      dtype=multiscale_flow.network_policy(dtype), name='network')
  network.build((None, height, width, channels // 2),
                *multiscale_flow.condition_shapes(config, shape, level + 1))
  if affine:
    coupling = coupling_lib.AffineCoupling(
        network, scale=config['scale'], dtype=dtype)
  else:
    coupling = coupling_lib.AdditiveCoupling(network, dtype=dtype)
  return (
      actnorm.ActNorm(channels, dtype=dtype),
      PERMUTATIONS[config['permutation']](
          channels, seed=next(seeds), dtype=dtype),
      coupling)


def _split_prior(shape, level, config):
  """Returns the network of the Gaussian of what leaves, given what stays."""
  height, width, channels = shape
  network = networks.ZeroConv2D(
      channels, interleaved=True, name=f'level_{level}_split_prior',
      dtype=multiscale_flow.network_policy(tf.as_dtype(config['dtype'])))
  network.build((None, height, width, channels // 2),
                *multiscale_flow.condition_shapes(config, shape, level + 1))
  return network


def _top_prior(shape, learn_top, num_classes, dtype, validate_args):
  """Returns the Gaussian of the top latent."""
  height, width, channels = shape
  network = class_network = None
  if learn_top:
    network = networks.ZeroConv2D(
        2 * channels, name='top_prior',
        dtype=multiscale_flow.network_policy(tf.as_dtype(dtype)))
    network.build((None, height, width, 2 * channels))
  if num_classes is not None:
    class_network = networks.ClassEmbedding(
        num_classes, 2 * channels, dtype=dtype, name='class_embedding')
    class_network.build((None,))
  return top_prior_lib.TopPrior(
      network, class_network, num_classes, dtype=tf.as_dtype(dtype),
      validate_args=validate_args)
