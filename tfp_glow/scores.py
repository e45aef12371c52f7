"""Scores of images: how unusual is each to a trained model?"""

import dataclasses
import io
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow import model as model_lib

METHODS = ('bits_per_dim', 'complexity', 'typicality', 'ratio')


@dataclasses.dataclass(frozen=True)
class Typicality:
  """Bits/dim of a model's training images, by which others are typical or not.

  ```none
  distance(image)        = |bits/dim of the image - mean|
  batch_distance(images) = |mean bits/dim of the images - mean|
  ```

  with `mean` that of the training images, an estimate of the model's entropy
  for each value. An image that the model likes better than those that it was
  trained on is as far as one that it likes less. A batch whose images have one
  source tells more than each of them: by chance its mean is about
  `standard_deviation / sqrt(N)` away.

  Attributes:
    mean: In bits/dim.
    standard_deviation: Of one image, in bits/dim.

  Raises:
    ValueError: If one is not finite, or the standard deviation is negative.

  #### Examples

  >>> typicality = Typicality.fit([3., 4., 5.])
  >>> typicality
  Typicality(mean=4.0, standard_deviation=1.0)
  >>> typicality.distance([4.5, 2.]).numpy()
  array([0.5, 2. ], dtype=float32)
  >>> float(typicality.batch_distance([4.5, 2.]))
  0.75

  #### References

  [1]: Nalisnick, Matsukawa, Teh and Lakshminarayanan. Detecting
       Out-of-Distribution Inputs to Deep Generative Models Using Typicality.
       2019. https://arxiv.org/abs/1906.02994
  """

  mean: float
  standard_deviation: float

  def __post_init__(self):
    values = (self.mean, self.standard_deviation)
    if not np.isfinite(values).all() or self.standard_deviation < 0.:
      raise ValueError(
          '`mean` and `standard_deviation` must be finite, and that not '
          f'negative, got {values}.')

  @classmethod
  def fit(cls, bits_per_dim: Any) -> 'Typicality':
    """Computes mean and standard deviation.

    Args:
      bits_per_dim: `[N]`, of training images, by `model.bits_per_dim`. A
        thousand are enough to know the mean to a thirtieth of the standard
        deviation.

    Raises:
      ValueError: If there are fewer than two, or one is not finite.
    """
    bits = np.asarray(bits_per_dim, np.float64)
    if bits.ndim != 1 or len(bits) < 2:
      raise ValueError(
          f'`bits_per_dim` has shape {list(bits.shape)}, but [N] is needed, '
          'those of at least 2 training images.')
    if not np.isfinite(bits).all():
      raise ValueError(
          f'`bits_per_dim` has {np.sum(~np.isfinite(bits))} values that are '
          f'not finite, of {len(bits)}: the model gives no density to some of '
          'the images that it was trained on.')
    return cls(float(np.mean(bits)), float(np.std(bits, ddof=1)))

  def distance(self, bits_per_dim: Any) -> tf.Tensor:
    """Distance of each image, `[N]`, in bits/dim, of its bits/dim `[N]`."""
    bits_per_dim = _as_floats(bits_per_dim)
    return tf.abs(bits_per_dim - tf.cast(self.mean, bits_per_dim.dtype))

  def batch_distance(self, bits_per_dim: Any) -> tf.Tensor:
    """Distance of a batch, `[]`, in bits/dim, of its images' bits/dim `[N]`."""
    return self.distance(tf.reduce_mean(_as_floats(bits_per_dim)))


def score(model: model_lib.FlowModel, images: np.ndarray,
          method: str = 'complexity', reference: Any = None,
          **conditions: Any) -> tf.Tensor:
  """Says how unusual images are: the higher, the more so.

  ```none
  'bits_per_dim'  -log2 p(image) / (H W C)
  'complexity'    bits/dim - bits of the compressed image / (H W C)       [1]
  'typicality'    |bits/dim - mean bits/dim of the training images|       [2]
  'ratio'         bits/dim - bits/dim by a background model               [3]
  ```

  Bits/dim alone misleads: it is low for every simple image, seen in training
  or not, so that a model may like plain images of another kind better than its
  own [2]. `'complexity'` takes off what a compressor for any image needs, the
  best of two; it has no parameters. `'ratio'` takes off what a model of what
  all images have in common needs, one trained on these images with some pixels
  drawn anew, say.

  Args:
    model: Trained model.
    images: uint8 `[N, H, W, C]`.
    method: One of the four.
    reference: A `Typicality` of the model's training images for
      `'typicality'`; a `FlowModel` of the same shape and number of bits for
      `'ratio'`, which is told those of the conditions that it takes; `None`
      for the others.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    scores: `[N]`, in bits/dim.

  Raises:
    ImportError: If `'complexity'` is asked for and Pillow is not installed.
    TypeError: If `reference` is not of the kind that the method needs, or the
      images are not uint8.
    ValueError: If `method` has no such name, the background model does not
      fit, there is no image, or shapes are wrong.

  #### Examples

  >>> flow = tfp_glow.Glow((4, 4, 1), levels=2, steps=1, width=4, seed=0)
  >>> model = tfp_glow.FlowModel(flow)
  >>> images = np.full((2, 4, 4, 1), 100, np.uint8)
  >>> tfp_glow.score(model, images, 'complexity').shape
  TensorShape([2])
  >>> training_images = np.random.default_rng(0).integers(
  ...     0, 256, (50, 4, 4, 1), dtype=np.uint8)
  >>> typicality = tfp_glow.Typicality.fit(model.bits_per_dim(training_images))
  >>> tfp_glow.score(model, images, 'typicality', typicality).shape
  TensorShape([2])

  #### References

  [1]: Serra, Alvarez, Gomez, Slizovskaia, Nunez and Luque. Input Complexity
       and Out-of-distribution Detection with Likelihood-based Generative
       Models. 2020. https://arxiv.org/abs/1909.11480
  [2]: Nalisnick et al. Detecting Out-of-Distribution Inputs to Deep Generative
       Models Using Typicality. 2019. https://arxiv.org/abs/1906.02994
  [3]: Ren et al. Likelihood Ratios for Out-of-Distribution Detection. 2019.
       https://arxiv.org/abs/1906.02845
  """
  return score_each(model, images, {method: reference}, **conditions)[method]


def score_each(model: model_lib.FlowModel, images: np.ndarray,
               references: dict[str, Any], **conditions: Any) -> dict[
                   str, tf.Tensor]:
  """Computes several scores of one evaluation of the model.

  Args:
    model: Trained model.
    images: uint8 `[N, H, W, C]`.
    references: For each method its reference, or `None`; see `score`.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    scores: For each method `[N]`, in bits/dim.

  Raises:
    ImportError, TypeError, ValueError: As `score`.
  """
  for method, reference in references.items():
    if method not in METHODS:
      raise ValueError(f'`method` must be one of {METHODS}, got {method!r}.')
    _check_reference(model, method, reference)
  inputs = model.checked({'images': images, **conditions})
  images = inputs['images']
  bits = model.bits_per_dim(**inputs)
  scores = {}
  for method, reference in references.items():
    scores[method] = bits
    if method == 'complexity':
      scores[method] -= tf.cast(
          compressed_bits_per_dim(model.pixels.bins(images)), bits.dtype)
    elif method == 'typicality':
      scores[method] = reference.distance(bits)
    elif method == 'ratio':
      known = {name: value for name, value in inputs.items()
               if name in reference.condition_names}
      scores[method] -= tf.cast(
          reference.bits_per_dim(images, **known), bits.dtype)
  return scores


def compressed_bits_per_dim(images: np.ndarray) -> np.ndarray:
  """Bits/dim that lossless compressors need: the smaller of PNG and WebP.

  Images of 16 bits, or of neither one nor three channels, are compressed
  channel by channel.

  Args:
    images: uint8 or uint16 `[N, H, W, C]`; of a model, the bins that it sees,
      `model.pixels.bins(images)`.

  Returns:
    bits_per_dim: float64 `[N]`, eight times the bytes of the smaller file over
      `H W C`.

  Raises:
    ImportError: If Pillow is not installed.

  #### Examples

  >>> plain = np.zeros((1, 32, 32, 3), np.uint8)
  >>> bool(compressed_bits_per_dim(plain)[0] < .3)
  True
  """
  try:
    from PIL import Image
  except ImportError as error:
    raise ImportError(
        "The score 'complexity' compresses images with Pillow, which is not "
        'installed; run: pip install pillow', name='PIL') from error
  images = np.asarray(images)

  def size(pixels, **arguments):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, **arguments)
    return file.tell()

  def num_bytes(pixels):
    # WebP has 8 bits: of 16, the upper and the lower ones are two pictures.
    halves = [pixels] if pixels.dtype == np.uint8 else [
        np.uint8(pixels >> 8), np.uint8(pixels & 255)]
    return min(
        size(pixels, format='PNG', optimize=True),
        sum(size(half, format='WEBP', lossless=True) for half in halves))

  counts = []
  for image in images:
    is_rgb = image.shape[-1] == 3 and image.dtype == np.uint8
    counts.append(sum(map(
        num_bytes, [image] if is_rgb else np.moveaxis(image, -1, 0))))
  return 8. * np.array(counts) / math.prod(images.shape[1:])


def _as_floats(values):
  values = tf.convert_to_tensor(values)
  return values if values.dtype.is_floating else tf.cast(values, tf.float32)


def _check_reference(model, method, reference):
  """Raises unless the reference is what the method needs."""
  needed, what = {
      'typicality': (
          Typicality, 'the `tfp_glow.Typicality` of its training images, '
          '`Typicality.fit(model.bits_per_dim(training_images))`'),
      'ratio': (model_lib.FlowModel, 'a background model, a `FlowModel`'),
  }.get(method, (type(None), 'no reference'))
  if not isinstance(reference, needed):
    raise TypeError(
        f'`reference` is {type(reference).__name__}, but the method '
        f'{method!r} needs {what}.')
  if method == 'ratio' and (
      (reference.image_shape, reference.num_bits) !=
      (model.image_shape, model.num_bits)):
    raise ValueError(
        f'`reference` is a model of images {reference.image_shape} of '
        f'{reference.num_bits} bits, but the model is of {model.image_shape} '
        f'of {model.num_bits} bits: their bits/dim cannot be compared.')
