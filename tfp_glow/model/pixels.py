"""Pixels as a flow sees them, and back: the one place of the formula."""

import math
import numbers

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfb = tfp.bijectors

PREPROCESSING = ('centered', 'logit')
_LOGIT_MARGIN = 0.05


class Pixels:
  """Bins, dequantised values and bits/dim of images.

  ```none
  bin          q = floor(image / bin_width)
               bin_width = 2**(8 - num_bits), or 2**(16 - num_bits) of uint16
  dequantised  v = q + u,   u uniform in [0, 1)
  image        floor(v) * bin_width, clipped to 0 .. 255, or 65535
  bits/dim     -log p(v) / (H W C log 2)
  ```

  Images are uint8, or uint16 where more than 8 bits are modelled. It is always
  the leading bits that are: values of 12 bits are shifted up by 4.

  #### Examples

  >>> pixels = Pixels((1, 2, 1), num_bits=5)
  >>> images = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
  >>> pixels.bins(images).numpy().ravel()
  array([ 0, 31], dtype=uint8)
  >>> pixels.middle(images).numpy().ravel()
  array([ 0.5, 31.5], dtype=float32)
  >>> pixels.quantise(pixels.middle(images)).numpy().ravel()
  array([  0, 248], dtype=uint8)
  >>> pixels.quantise(pixels.middle(images) * np.nan).numpy().ravel()
  array([255, 255], dtype=uint8)
  """

  def __init__(self,
               image_shape: tuple[int, int, int],
               num_bits: int = 8,
               preprocessing: str = 'centered',
               dtype: tf.DType = tf.float32,
               logit_margin: float = _LOGIT_MARGIN):
    """Describes the pixels of a model.

    Args:
      image_shape: `(H, W, C)`.
      num_bits: Bits of each pixel that are modelled, 1 .. 16.
      preprocessing: Values that the flow sees: `'centered'`,
        `v / 2**num_bits - 0.5` (Glow), or `'logit'`,
        `logit(m + (1 - 2 m) v / 2**num_bits)` (RealNVP).
      dtype: Floating point type of the flow.
      logit_margin: The distance `m` from 0 and 1 of what the logit is taken of.
        Default value: `0.05`, RealNVP's.

    Raises:
      ValueError: If `num_bits` or `logit_margin` is out of range, or
        `preprocessing` unknown, or a margin is given without a logit.
    """
    if isinstance(num_bits, bool) or num_bits not in range(1, 17):
      raise ValueError(f'`num_bits` must be in 1 .. 16, got {num_bits!r}.')
    if preprocessing not in PREPROCESSING:
      raise ValueError(
          f'`preprocessing` must be one of {PREPROCESSING}, got '
          f'{preprocessing!r}.')
    if not isinstance(logit_margin, numbers.Real) or not 0. < logit_margin < .5:
      raise ValueError(
          f'`logit_margin` must be between 0 and 0.5, got {logit_margin!r}.')
    if preprocessing != 'logit' and logit_margin != _LOGIT_MARGIN:
      raise ValueError(
          f'`logit_margin` is {logit_margin}, but `preprocessing` is '
          f"{preprocessing!r}: only 'logit' has a margin.")
    self.image_shape = tuple(int(n) for n in image_shape)
    self.num_bits = int(num_bits)
    self.preprocessing = preprocessing
    self.logit_margin = float(logit_margin)
    self.dtype = tf.as_dtype(dtype)
    self._dropped_bits = 8 * self.image_dtype.size - self.num_bits

  @property
  def image_dtype(self) -> tf.DType:
    """Type of images: uint8, or uint16 where it takes more than 8 bits."""
    return tf.uint8 if self.num_bits <= 8 else tf.uint16

  @property
  def num_dims(self) -> int:
    """Number of values of an image, `H W C`."""
    return math.prod(self.image_shape)

  @property
  def num_bins(self) -> int:
    """Number of bins of a pixel, `2**num_bits`."""
    return 2**self.num_bits

  @property
  def bin_width(self) -> int:
    """Number of values of a pixel that share a bin."""
    return 2**self._dropped_bits

  def bins(self, images) -> tf.Tensor:
    """Bins of images, `0 .. 2**num_bits - 1`, in the images' dtype."""
    images = tf.convert_to_tensor(images)
    return tf.bitwise.right_shift(
        images, tf.constant(self._dropped_bits, images.dtype))

  def dequantise(self, images, noise) -> tf.Tensor:
    """Bins of images plus noise in `[0, 1)`, in the flow's dtype."""
    return tf.cast(self.bins(images), self.dtype) + tf.cast(noise, self.dtype)

  def middle(self, images) -> tf.Tensor:
    """Middles of the images' bins, from which `quantise` gives them back."""
    return self.dequantise(images, .5)

  def quantise(self, dequantised) -> tf.Tensor:
    """Images of dequantised values; those beyond the last bin are white.

    An image with a value that is not finite is one of `broken_image`.
    """
    # As in Glow's program: 5 bits of white are 248, and what is beyond is 255.
    values = tf.floor(dequantised) * self.bin_width
    images = tf.cast(
        tf.clip_by_value(values, 0., float(self.image_dtype.max)),
        self.image_dtype)
    return tf.where(
        self.are_finite(dequantised)[..., None, None, None], images,
        self.broken_image())

  def are_finite(self, dequantised) -> tf.Tensor:
    """Whether all values of each image are finite, `[...]`."""
    return tf.reduce_all(tf.math.is_finite(dequantised), axis=[-3, -2, -1])

  def broken_image(self) -> np.ndarray:
    """An image that no one takes for a picture: a checker of 2x2 squares.

    They are black and magenta, or black and white where there are not three
    channels.
    """
    height, width, channels = self.image_shape
    rows, columns = np.indices((height, width)) // 2
    bright = (rows + columns) % 2 == 0
    image = np.zeros(
        self.image_shape, self.image_dtype.as_numpy_dtype)
    image[bright] = self.image_dtype.max
    if channels == 3:
      image[..., 1] = 0
    return image

  def bits_per_dim(self, log_prob) -> tf.Tensor:
    """`-log_prob / (H W C log 2)`, of log-densities in nats."""
    return -log_prob / (self.num_dims * math.log(2.))

  def fixed_noise(self) -> np.ndarray:
    """One image of uniform noise, the same for every image and each call."""
    return np.random.default_rng(0).random(self.image_shape)

  def bijectors(self) -> list[tfb.Bijector]:
    """Bijectors from what the flow sees to dequantised images, data first."""
    num_bins = tf.constant(self.num_bins, self.dtype)
    if self.preprocessing == 'centered':
      return [tfb.Scale(num_bins), tfb.Shift(tf.constant(.5, self.dtype))]
    inner = 1. - 2. * self.logit_margin
    return [
        tfb.Scale(num_bins / inner),
        tfb.Shift(tf.constant(-self.logit_margin, self.dtype)),
        tfb.Sigmoid(),
    ]
