"""Densities, latents and images of a model, a batch at a time."""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any
import warnings

import numpy as np
import tensorflow as tf

from tfp_glow import seeding
from tfp_glow.model import base as base_lib
from tfp_glow.model import inputs as inputs_lib

_BATCH_SIZE = 256


class Inference:
  """Methods of `FlowModel` that ask a model about images, and for images."""

  def log_prob(self, images: Any, label: Any = None,
               **conditions: Any) -> tf.Tensor:
    """Log-density of images, dequantised with noise that is always the same.

    Args:
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      log_prob: `[N]`, in nats, of the density over dequantised images in
        `[0, 2**num_bits)`.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    return self.in_batches(self._log_prob, images, label, **conditions)

  def bits_per_dim(self, images: Any, label: Any = None,
                   **conditions: Any) -> tf.Tensor:
    """`-log_prob / (H W C log 2)`, `[N]`; see `log_prob`."""
    return self.pixels.bits_per_dim(
        self.log_prob(images, label, **conditions))

  def encode(self, images: Any, label: Any = None, check: bool = False,
             **conditions: Any) -> tf.Tensor:
    """Latents of images, each pixel put in the middle of its bin.

    `decode` gives images back, their `num_bits` leading bits exactly, as long
    as the flow does not enlarge the rounding of latents a lot. Far from what
    it was trained on, noise for example, it may; `check` tells.

    Args:
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model.
      check: Whether to decode the latents, and warn of images that do not come
        back.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      latents: `[N, D]`.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    images = self._checks.checked_images(images)
    conditions = inputs_lib.given(label=label, **conditions)
    if not check:
      return self._in_batches(self._encode, images, conditions)
    latents, wrong = self._in_batches(self._encode_checked, images, conditions)
    rows = np.flatnonzero(wrong)
    if rows.size:
      warnings.warn(
          f'{rows.size} of {len(images)} images do not come back from their '
          f'latents with every pixel in its bin, in rows {_some(rows)}; most '
          f'pixels that are wrong in one: {int(np.max(wrong))} of '
          f'{self.num_dims}. The flow enlarges rounding there, as flows do '
          'far from what they were trained on.', stacklevel=2)
    return latents

  def decode(self, latents: Any, label: Any = None,
             **conditions: Any) -> tf.Tensor:
    """Images of latents.

    Args:
      latents: `[N, D]`.
      label: Integers `[N]`, of a class-conditional model.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `[N, H, W, C]`. One that is not finite is drawn as a
        checker of magenta (or white) and black, and a warning counts them.

    Raises:
      ValueError: If the shape is wrong, or latents are not finite.
    """
    images, finite = self._in_batches(
        self._decode, self._checks.checked_latents(latents),
        inputs_lib.given(label=label, **conditions))
    if tf.executing_eagerly() and not np.all(finite):
      rows = np.flatnonzero(~finite.numpy())
      warnings.warn(
          f'{rows.size} of {len(images)} images are not finite, and are drawn '
          f'as a checker: in rows {_some(rows)}. The flow breaks down so far '
          'from what it was trained on. A lower temperature (or strength) '
          "helps, and so does training with bounded scales, `Glow(..., "
          "scale='bounded')`.", stacklevel=2)
    return images

  def sample(self, num_samples: int, temperature: Any = 1., label: Any = None,
             seed: int | None = None, **conditions: Any) -> tf.Tensor:
    """New images.

    Args:
      num_samples: How many.
      temperature: Factor of the latents about their mean: lower gives likelier
        and less varied images. One number, one for each sample,
        `[num_samples]`, or one for each sample (or for all) and level,
        `[num_samples or 1, L]`, in the order of `flow.latent_shapes`.
      label: Integer or integers `[num_samples]`, of a class-conditional
        model.
      seed: An integer. Default value: `None`, another each time; which ones
        `keras.utils.set_random_seed` decides.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `[num_samples, H, W, C]`.

    Raises:
      TypeError: If a number is none.
      ValueError: If a temperature is negative, or shapes are wrong.
    """
    latents = self.sample_latents(num_samples, temperature, seed)
    if label is not None and np.ndim(label) == 0:
      label = tf.fill([len(latents)], label)
    return self.decode(latents, label, **conditions)

  def sample_latents(self, num_samples: int, temperature: Any = 1.,
                     seed: int | None = None) -> tf.Tensor:
    """Latents `[num_samples, D]` of new images; see `sample`.

    ```none
    latent = mean + temperature (draw - mean),   mean that of the base
    ```
    """
    num_samples = inputs_lib.positive('num_samples', num_samples)
    try:
      temperature = np.asarray(temperature, self.compute_dtype)
    except (TypeError, ValueError) as error:
      raise TypeError(
          f'`temperature` must be numbers, got {temperature!r}.') from error
    sizes = [math.prod(shape) for shape in getattr(
        self.flow, 'latent_shapes', [(self.num_dims,)])]
    if temperature.shape not in (
        (), (num_samples,), (1, len(sizes)), (num_samples, len(sizes))) or (
            not ((temperature >= 0.) & np.isfinite(temperature)).all()):
      raise ValueError(
          '`temperature` must be one number, one for each sample, '
          f'[{num_samples}], or one for each level too, [{num_samples} or 1, '
          f'{len(sizes)}], finite and not negative, got {temperature} of '
          f'shape {temperature.shape}.')
    if temperature.ndim == 2:
      temperature = np.repeat(temperature, sizes, axis=1)
    else:
      temperature = temperature.reshape(-1, 1)
    latents = self.base.sample(
        num_samples, seed=(seeding.given_or_drawn(seed), 0))
    return base_lib.tempered(self.base, latents, temperature)

  def in_batches(
      self, function: Callable[[tf.Tensor, dict[str, tf.Tensor]], tf.Tensor],
      images: Any, label: Any = None, **conditions: Any) -> tf.Tensor:
    """Calls a function on checked images, a batch at a time.

    Args:
      function: Of images, uint8 `[B, H, W, C]`, and a `dict` of their
        conditions, batch-major; gives `[B, ...]`.
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      results: `[N, ...]`.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    return self._in_batches(
        function, self._checks.checked_images(images),
        inputs_lib.given(label=label, **conditions))

  @tf.function(reduce_retracing=True, autograph=False)
  def _log_prob(self, images, conditions):
    return self.latents_and_log_prob(
        self.pixels.dequantise(images, self.pixels.fixed_noise()),
        **conditions)[1]

  @tf.function(reduce_retracing=True, autograph=False)
  def _encode(self, images, conditions):
    return self.latents_and_log_prob(
        self.pixels.middle(images), **conditions)[0]

  @tf.function(reduce_retracing=True, autograph=False)
  def _encode_checked(self, images, conditions):
    """Latents, and how many pixels of each image do not come back."""
    latents = self._encode(images, conditions)
    back, _ = self._decode(latents, conditions)
    wrong = self.pixels.bins(back) != self.pixels.bins(images)
    return latents, tf.math.count_nonzero(wrong, axis=[1, 2, 3])

  @tf.function(reduce_retracing=True, autograph=False)
  def _decode(self, latents, conditions):
    """Images, and whether each is finite."""
    dequantised = self.dequantised(latents, **conditions)
    return (self.pixels.quantise(dequantised),
            self.pixels.are_finite(dequantised))

  def _in_batches(self, function: Callable[..., Any], rows: tf.Tensor,
                  conditions: Mapping[str, Any]) -> Any:
    """Calls `function` on a batch at a time, so that any number fits."""
    conditions = self._checks.checked_conditions(conditions, rows)
    if not tf.executing_eagerly():
      return function(rows, conditions)
    if isinstance(function, tf.types.experimental.PolymorphicFunction):
      # Traced once for batches of any size: the last one may be smaller.
      function = function.get_concrete_function(*tf.nest.map_structure(
          lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype),
          (rows, conditions)))
    if len(rows) <= _BATCH_SIZE:
      return function(rows, conditions)
    results = []
    for start in range(0, len(rows), _BATCH_SIZE):
      batch = slice(start, start + _BATCH_SIZE)
      results.append(function(
          rows[batch], {k: v[batch] for k, v in conditions.items()}))
    return tf.nest.map_structure(
        lambda *parts: tf.concat(parts, axis=0), *results)


def _some(rows):
  """The first of some row numbers, as words."""
  return ', '.join(map(str, rows[:10])) + (
      ' and so on' if len(rows) > 10 else '')
