"""RealNVP: Dinh, Sohl-Dickstein and Bengio, 2016.

https://arxiv.org/abs/1605.08803
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import networks
from tfp_glow.bijectors import batch_norm
from tfp_glow.bijectors import chain
from tfp_glow.bijectors import channel_permutation
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import factor_out
from tfp_glow.bijectors import masks
from tfp_glow.bijectors import squeeze
from tfp_glow.flows import multiscale_flow

tfb = tfp.bijectors


@keras.saving.register_keras_serializable('tfp_glow')
class RealNVP(multiscale_flow.MultiscaleFlow):
  """RealNVP, exactly as its authors' program computes it.

  ```none
  scale:  three checkerboard couplings; squeeze; three channel couplings; then
          half of the channels leaves, under a standard normal
  top:    four checkerboard couplings
  ```

  and each coupling is followed by a batch normalisation of what it changed.
  `forward` goes from a flat latent `[..., H*W*C]` to an image `[..., H, W, C]`
  on the logit scale, `inverse` back. With the keyword `training=True`
  `inverse` and the log-determinant use statistics of the batch, in the flow
  and in its networks, or else running averages.

  #### Examples

  >>> real_nvp = RealNVP((8, 8, 3), width=4, residual_blocks=1, seed=0)
  >>> real_nvp.latent_shapes
  [(4, 4, 6), (4, 4, 6)]
  >>> logits = tf.random.stateless_normal([5, 8, 8, 3], [0, 0])
  >>> real_nvp.inverse(logits, training=True).shape
  TensorShape([5, 192])

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. https://arxiv.org/abs/1605.08803
  """

  def __init__(self, image_shape: tuple[int, int, int], scales: int = 2,
               width: int = 64, residual_blocks: int = 8,
               feature_map_channels: int | None = None,
               context_size: int | None = None, memory: str = 'store',
               seed: int | None = None, dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'real_nvp'):
    """Builds the flow with random weights.

    Args:
      image_shape: `(H, W, C)`, `H` and `W` multiples of `2**(scales - 1)`.
      scales: Python `int`, number of scales. Default value: `2`.
      width: Python `int`, channels inside the checkerboard couplings' networks
        of the first scale; twice as many in channel couplings, and twice as
        many at each further scale. Default value: `64`.
      residual_blocks: Python `int`, residual blocks of each network.
        Default value: `8`.
      feature_map_channels: Python `int` or `None`. If given, every call takes
        `feature_map=`, `[..., H, W, feature_map_channels]`, which every
        coupling sees, squeezed as the image is. Default value: `None`.
      context_size: Python `int` or `None`. If given, every call takes
        `context=`, `[..., context_size]`, which every coupling sees.
        Default value: `None`.
      memory: Python `str`, what the gradient keeps. `'store'` is every
        activation; `'recompute'` one image for each row of couplings, from
        which the rest is computed again, at the price of one more evaluation
        of each network: see `Chain`. Default value: `'store'`.
      seed: Python `int` or `None`, of all random weights. Default value:
        `None`.
      dtype: `tf.float32` or `tf.float64`. The networks have Keras's global
        policy if its variables are of this type, else this type.
        Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'real_nvp'`.

    Raises:
      ValueError: If a size is not positive or does not divide, or `memory`
        has no such name.
    """
    config = multiscale_flow.config_of(locals())
    multiscale_flow.checked_positive(
        scales=scales, width=width, residual_blocks=residual_blocks)
    for argument, size in (('feature_map_channels', feature_map_channels),
                           ('context_size', context_size)):
      if size is not None:
        multiscale_flow.checked_positive(**{argument: size})
    self._image_shape = multiscale_flow.checked_image_shape(
        image_shape, scales - 1, 'scales', scales)
    config['image_shape'] = self._image_shape

    dtype = tf.as_dtype(dtype)
    policy = multiscale_flow.network_policy(dtype)
    seeds = multiscale_flow.seeds(seed)

    def couplings(shape, width, squeezes, *kept_by_each):
      """Couplings in turn, each with its batch normalisation (3.4, 3.7)."""
      h, w, c = shape
      conditions = multiscale_flow.condition_shapes(config, shape, squeezes)
      layers = []
      for mask in kept_by_each:
        on_checkerboard = isinstance(mask, masks.Checkerboard)
        changed = mask.num_changed(c)
        # TensorFlow keeps tens of KiB for each name that a variable ever had.
        network = networks.ResidualNetwork(
            2 * changed, width, residual_blocks,
            checkerboard=mask.kept if on_checkerboard else None,
            seed=next(seeds), dtype=policy, name='network')
        network.build((None, h, w, changed), *conditions)
        layers.extend([
            coupling.AffineCoupling(
                network, mask, scale='tanh',
                initial_rescale=0. if on_checkerboard else 1., dtype=dtype),
            batch_norm.BatchNorm(changed, mask, dtype=dtype),
        ])
      return layers

    even, odd = masks.Checkerboard('even'), masks.Checkerboard('odd')
    first, second = masks.ChannelHalves('first'), masks.ChannelHalves('second')
    latent_shapes = []

    def from_scale(scale, shape, width):
      """The layers of one scale and of those after it (3.6)."""
      h, w, c = shape
      if scale == scales - 1:
        latent_shapes.append(shape)
        return [
            *couplings(shape, width, scale, even, odd, even, odd),
            tfb.Reshape(event_shape_out=shape, event_shape_in=(h * w * c,)),
        ]
      squeezed = (h // 2, w // 2, 4 * c)
      half = (h // 2, w // 2, 2 * c)
      latent_shapes.append(half)
      return [
          *couplings(shape, width, scale, even, odd, even),
          squeeze.Squeeze(dtype=dtype),
          *couplings(squeezed, 2 * width, scale + 1, first, second, first),
          channel_permutation.ChannelPermutation(_alternating(c), dtype=dtype),
          factor_out.FactorOut(chain.Chain(
              from_scale(scale + 1, half, 2 * width), memory,
              name=f'scale_{scale + 1}'), dtype=dtype),
      ]

    layers = from_scale(0, self._image_shape, width)
    super().__init__(layers, latent_shapes, config, validate_args, name)

  @property
  def preprocessing(self):
    return 'logit'

  @property
  def image_shape(self):
    """`(H, W, C)`."""
    return self._image_shape


def _alternating(channels):
  """The order that takes `Squeeze('channel_major')` to `'alternating'`.

  So the half that stays has the pixels of one diagonal of each 2x2 block, all
  of their channels, and the half that leaves those of the other.
  """
  positions = np.array([0, 3, 1, 2])
  return (4 * np.arange(channels) + positions[:, None]).ravel()
