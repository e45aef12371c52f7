"""Densities, latents and images of a model, a batch at a time."""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any

import numpy as np
import tensorflow as tf

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
    return self._in_batches(
        self._log_prob, self._checks.checked_images(images),
        inputs_lib.given(label=label, **conditions))

  def bits_per_dim(self, images: Any, label: Any = None,
                   **conditions: Any) -> tf.Tensor:
    """`-log_prob / (H W C log 2)`, `[N]`; see `log_prob`."""
    return self.pixels.bits_per_dim(
        self.log_prob(images, label, **conditions))

  def encode(self, images: Any, label: Any = None,
             **conditions: Any) -> tf.Tensor:
    """Latents of images, each pixel put in the middle of its bin.

    Args:
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      latents: `[N, D]`. `decode` gives the images back, their `num_bits`
        leading bits exactly.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    return self._in_batches(
        self._encode, self._checks.checked_images(images),
        inputs_lib.given(label=label, **conditions))

  def decode(self, latents: Any, label: Any = None,
             **conditions: Any) -> tf.Tensor:
    """Images of latents.

    Args:
      latents: `[N, D]`.
      label: Integers `[N]`, of a class-conditional model.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `[N, H, W, C]`.

    Raises:
      ValueError: If the shape is wrong.
    """
    latents = tf.convert_to_tensor(latents, dtype=self.compute_dtype)
    if latents.shape.rank != 2 or latents.shape[-1] != self.num_dims:
      raise ValueError(
          f'`latents` has shape {latents.shape}, but [N, {self.num_dims}] is '
          'needed.')
    return self._in_batches(
        self._decode, latents, inputs_lib.given(label=label, **conditions))

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
      seed: Default value: `None`, another each time.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `[num_samples, H, W, C]`.

    Raises:
      ValueError: If a temperature is negative, or shapes are wrong.
    """
    if isinstance(num_samples, bool) or int(num_samples) < 1:
      raise ValueError(
          f'`num_samples` must be a positive integer, got {num_samples!r}.')
    if label is not None:
      label = tf.broadcast_to(label, [num_samples])
    return self.decode(
        self.sample_latents(num_samples, temperature, seed), label,
        **conditions)

  def sample_latents(self, num_samples: int, temperature: Any = 1.,
                     seed: int | None = None) -> tf.Tensor:
    """Latents `[num_samples, D]` of new images; see `sample`.

    ```none
    latent = mean + temperature (draw - mean),   mean that of the base
    ```
    """
    temperature = np.asarray(temperature, self.compute_dtype)
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
    if seed is None:
      seed = int(np.random.default_rng().integers(2**31))
    return base_lib.tempered(
        self.base, self.base.sample(num_samples, seed=(seed, 0)), temperature)

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
  def _decode(self, latents, conditions):
    return self.pixels.quantise(self.dequantised(latents, **conditions))

  def _in_batches(self, function: Callable[..., tf.Tensor], rows: tf.Tensor,
                  conditions: Mapping[str, Any]) -> tf.Tensor:
    """Calls `function` on a batch at a time, so that any number fits."""
    conditions = self._checks.checked_conditions(conditions, rows)
    if not tf.executing_eagerly() or len(rows) <= _BATCH_SIZE:
      return function(rows, conditions)
    results = []
    for start in range(0, len(rows), _BATCH_SIZE):
      batch = slice(start, start + _BATCH_SIZE)
      results.append(function(
          rows[batch], {k: v[batch] for k, v in conditions.items()}))
    return tf.concat(results, axis=0)
