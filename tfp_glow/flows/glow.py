"""Glow: Kingma and Dhariwal, 2018. https://arxiv.org/abs/1807.03039"""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

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

  def __init__(self, image_shape, levels=3, steps=32, width=512,
               coupling='affine', permutation='conv1x1', learn_top=True,
               num_classes=None, classifier=False, feature_map_channels=None,
               context_size=None, scale='sigmoid', memory='store', seed=None,
               dtype=tf.float32, validate_args=False, name='glow'):
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
        coupling sees, squeezed as the image is. Default value: `None`.
      context_size: Python `int` or `None`. If given, every call takes
        `context=`, `[..., context_size]`, which every coupling sees.
        Default value: `None`.
      scale: Python `str`, of affine couplings: `'sigmoid'`, the paper's, or
        `'bounded'`, with which samples do not break down; see
        `AffineCoupling`. Default value: `'sigmoid'`.
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
    config = {k: v for k, v in locals().items()
              if k not in ('self', '__class__')}
    config['dtype'] = tf.as_dtype(dtype).name
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
    height, width_, channels = multiscale_flow.checked_image_shape(
        image_shape, 2**levels)
    config['image_shape'] = (height, width_, channels)
    self._image_shape = (height, width_, channels)
    self._num_classes = num_classes

    dtype = tf.as_dtype(dtype)
    policy = multiscale_flow.network_policy(dtype)
    seeds = multiscale_flow.seeds(seed)
    shapes, latent_shapes = [], []
    for level in range(levels):
      height, width_, channels = height // 2, width_ // 2, channels * 4
      shapes.append((height, width_, channels))
      if level < levels - 1:
        channels //= 2
      latent_shapes.append((height, width_, channels))

    def step(shape, level):
      """One step of flow (Section 3, Table 1)."""
      h, w, c = shape
      affine = coupling == 'affine'
      # TensorFlow keeps tens of KiB for each name that a variable ever had.
      network = networks.GlowNetwork(
          c if affine else c // 2, width, interleaved=affine,
          seed=next(seeds), dtype=policy, name='network')
      conditions = []
      if feature_map_channels is not None:
        conditions.append((None, h, w, feature_map_channels * 4**(level + 1)))
      if context_size is not None:
        conditions.append((None, context_size))
      network.build((None, h, w, c // 2), *conditions)
      changed = (coupling_lib.AffineCoupling(network, scale=scale, dtype=dtype)
                 if affine else
                 coupling_lib.AdditiveCoupling(network, dtype=dtype))
      return [
          actnorm.ActNorm(c, dtype=dtype),
          PERMUTATIONS[permutation](c, seed=next(seeds), dtype=dtype),
          changed,
      ]

    def split_prior(shape):
      """The Gaussian of what leaves, given what stays."""
      h, w, c = shape
      network = networks.ZeroConv2D(c, interleaved=True, dtype=policy)
      network.build((None, h, w, c // 2))
      return network

    def top_prior(shape):
      """The Gaussian of the top latent."""
      h, w, c = shape
      network = class_network = None
      if learn_top:
        network = networks.ZeroConv2D(2 * c, dtype=policy)
        network.build((None, h, w, 2 * c))
      if num_classes is not None:
        class_network = networks.ClassEmbedding(
            num_classes, 2 * c, dtype=dtype.name)
        class_network.build((None,))
      return top_prior_lib.TopPrior(
          network, class_network, num_classes, dtype=dtype,
          validate_args=validate_args)

    classifier_network = None
    if classifier:
      classifier_network = networks.ZeroDense(num_classes, dtype=dtype.name)
      classifier_network.build((None, shapes[-1][-1]))

    layers = []
    for level, shape in enumerate(shapes):
      layers.append([squeeze.Squeeze(dtype=dtype)])
      for _ in range(steps):
        layers[-1].extend(step(shape, level))
    self._top_prior = top_prior(shapes[-1])
    layers[-1].extend([
        self._top_prior,
        tfb.Reshape(event_shape_out=shapes[-1],
                    event_shape_in=(math.prod(shapes[-1]),)),
    ])
    # From the top down: each level's rest is the flow of the next.
    for level in range(levels - 2, -1, -1):
      layers[level].append(factor_out.FactorOut(
          chain.Chain(layers[level + 1], memory, name=f'level_{level + 1}'),
          split_prior(shapes[level]), dtype=dtype))
    super().__init__(
        layers[0], latent_shapes, config, validate_args, name)
    self._classifier = (
        None if classifier_network is None else
        conditioner.Conditioner(classifier_network))

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

  def top_latent(self, z, label=None):
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

  def class_logits(self, z, label):
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
