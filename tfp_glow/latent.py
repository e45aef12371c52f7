"""Uses of the latent space: interpolation, attributes, resampled levels."""

from collections.abc import Iterable
from collections.abc import Mapping
import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_glow import model as model_lib
from tfp_glow.model import inputs as inputs_lib

METHODS = ('linear', 'spherical')
# Where the sine of an angle is below this, the arc is taken to be straight.
_MIN_SINE = 1e-4


def interpolate(model: model_lib.FlowModel, a: Any, b: Any, num_steps: int,
                method: str = 'linear', **conditions: Any) -> tf.Tensor:
  """Images on the lines or arcs between the latents of two batches.

  ```none
  linear      z = (1 - w) z_a + w z_b                   w = s / (num_steps - 1)
  spherical   z = (sin((1 - w) t) z_a + sin(w t) z_b) / sin(t)
              t  the angle between z_a and z_b
  image[s] = decode(z)
  ```

  Halfway along a straight line between two normal latents of many dimensions,
  the length is 0.7 of theirs, as of a sample at a temperature of 0.7; along the
  arc it stays theirs. Where the angle is 0 or 180 degrees, the line is taken.

  Args:
    model: The model.
    a: uint8 images `[N, H, W, C]`, where the lines begin.
    b: uint8 images `[N, H, W, C]`, where they end.
    num_steps: At least 2, images on each line, ends included.
    method: `'linear'` (as in [1]) or `'spherical'` (as in [2]).
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    images: uint8 `[N, num_steps, H, W, C]`.

  Raises:
    ValueError: If shapes differ, there are fewer than two steps, or `method`
      has no such name.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 6, Figure 5.
       https://arxiv.org/abs/1807.03039
  [2]: White. Sampling Generative Networks. 2016. Section 2.1.
       https://arxiv.org/abs/1609.04468
  """
  if method not in METHODS:
    raise ValueError(f'`method` must be one of {METHODS}, got {method!r}.')
  if inputs_lib.positive('num_steps', num_steps) < 2:
    raise ValueError(f'`num_steps` must be at least 2, got {num_steps}.')
  a, b = np.asarray(a), np.asarray(b)
  if a.shape != b.shape:
    raise ValueError(
        f'`a` and `b` must have one shape, got {a.shape} and {b.shape}.')
  start = model.encode(a, **conditions)[:, None]
  end = model.encode(b, **conditions)[:, None]
  weights = tf.cast(
      tf.linspace(0., 1., num_steps)[None, :, None], start.dtype)
  between = spherical if method == 'spherical' else linear
  return _decode_steps(model, between(start, end, weights), conditions)


def manifold(model: model_lib.FlowModel, images: Any, num_steps: int = 8,
             **conditions: Any) -> tf.Tensor:
  """Images on a closed surface through the latents of four.

  ```none
  z[i, j] = cos(p_i) (cos(p_j) z_1 + sin(p_j) z_2)
          + sin(p_i) (cos(p_j) z_3 + sin(p_j) z_4),   p_i = 2 pi i / num_steps
  ```

  Args:
    model: The model.
    images: uint8 `[4, H, W, C]`.
    num_steps: At least 1, images along each direction. If it is
      a multiple of 4, the four are among them: the first at `[0, 0]`, the
      others a quarter of the way round. Default value: `8`.
    **conditions: Conditions of the model, by name, one row for all: `[1, ...]`.

  Returns:
    images: uint8 `[num_steps, num_steps, H, W, C]`.

  Raises:
    ValueError: If there are not four images, or `num_steps` is not positive.

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Equation 19, Figure 6. https://arxiv.org/abs/1605.08803
  """
  inputs_lib.positive('num_steps', num_steps)
  if len(images) != 4:
    raise ValueError(f'`images` must be four, got {len(images)}.')
  conditions = {k: tf.repeat(v, 4, axis=0) for k, v in conditions.items()}
  latents = model.encode(images, **conditions)
  angles = 2. * math.pi * np.arange(num_steps) / num_steps
  circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
  grid = tf.einsum(
      'ia,jb,abd->ijd', circle.astype(latents.dtype.as_numpy_dtype),
      circle.astype(latents.dtype.as_numpy_dtype),
      tf.reshape(latents, [2, 2, -1]))
  repeated = {k: tf.repeat(v[:1], num_steps, axis=0)
              for k, v in conditions.items()}
  return _decode_steps(model, grid, repeated)


def resample_levels(model: model_lib.FlowModel, images: Any,
                    levels: Iterable[int], temperature: float = 1.,
                    seed: int | None = None, **conditions: Any) -> tf.Tensor:
  """Images with the latents of some levels drawn anew: what the others hold.

  Args:
    model: `FlowModel` of a flow that has `latent_shapes`.
    images: uint8 `[N, H, W, C]`.
    levels: The levels to draw anew; 0 is the first, of the
      finest detail, and -1 the last. The others stay.
    temperature: Factor of what is drawn, about the mean.
    seed: An integer. Default value: `None`, another each time.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    images: uint8 `[N, H, W, C]`.

  Raises:
    ValueError: If there is no such level, or the temperature is negative.

  #### References

  [1]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP.
       2016. Section 4.2 and its appendix on compression.
       https://arxiv.org/abs/1605.08803
  """
  levels = list(inputs_lib.iterable('levels', levels, 'numbers of levels'))
  parts = model.flow.split_latent(model.encode(images, **conditions))
  for level in levels:
    is_number = isinstance(level, (int, np.integer)) and (
        not isinstance(level, bool))
    if not is_number or level not in range(-len(parts), len(parts)):
      raise ValueError(
          f'`levels` has {level}, but the flow has {len(parts)}: '
          f'0 .. {len(parts) - 1}, or counted from the last, '
          f'-1 .. {-len(parts)}.')
  drawn = model.flow.split_latent(
      model.sample_latents(len(images), temperature, seed))
  for level in levels:
    parts[level] = drawn[level]
  return model.decode(model.flow.join_latent(parts), **conditions)


def attribute_direction(
    model: model_lib.FlowModel, positives: Any, negatives: Any,
    batch_size: int = 256,
    positive_conditions: Mapping[str, Any] | None = None,
    negative_conditions: Mapping[str, Any] | None = None) -> tf.Tensor:
  """Difference of the mean latents of images with and without an attribute.

  Images are read a batch at a time, each once, so that there may be any number.

  Args:
    model: The model.
    positives: uint8 images `[N, H, W, C]` that have it, or an iterable of
      batches of what `FlowModel.fit` takes: images, `(images, labels)`, or
      `(images, {condition: value})`; a `tf.data.Dataset`, say.
    negatives: uint8 images `[M, H, W, C]` that do not, or such an iterable.
    batch_size: How many images of an array are encoded at once.
    positive_conditions: `dict` of conditions of `positives`, batch-major, if
      that is an array. Default value: `None`.
    negative_conditions: `dict` of conditions of `negatives`, batch-major, if
      that is an array. Default value: `None`.

  Returns:
    direction: `[D]`.

  Raises:
    ValueError: If a group is empty, `batch_size` is not positive, or
      conditions are given beside an iterable.
    TypeError: If a group is neither images nor an iterable.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 6, Figure 6.
       https://arxiv.org/abs/1807.03039
  """
  inputs_lib.positive('batch_size', batch_size)
  means = [
      _mean_latent(model, argument, images, batch_size, conditions or {})
      for argument, images, conditions in (
          ('positives', positives, positive_conditions),
          ('negatives', negatives, negative_conditions))]
  return means[0] - means[1]


def manipulate(model: model_lib.FlowModel, images: Any, direction: Any,
               strengths: Any, **conditions: Any) -> tf.Tensor:
  """Images moved along a direction of the latent space.

  ```none
  image[s] = decode(encode(image) + strengths[s] * direction)
  ```

  Args:
    model: The model.
    images: uint8 `[N, H, W, C]`.
    direction: `[D]`, from `attribute_direction`, say.
    strengths: Floats `[S]`; negative ones go the other way.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    images: uint8 `[N, S, H, W, C]`.

  Raises:
    ValueError: If `direction` has another size, `strengths` is no list or
      empty, or one of them is not finite.
    TypeError: If one of them is no numbers.
  """
  latents = model.encode(images, **conditions)
  direction, strengths = (
      inputs_lib.finite(name, inputs_lib.floats(name, value, latents.dtype))
      for name, value in (('direction', direction), ('strengths', strengths)))
  if direction.shape != latents.shape[1:]:
    raise ValueError(
        f'`direction` has shape {direction.shape}, but '
        f'{latents.shape[1:]} is needed.')
  if strengths.shape.rank != 1 or not strengths.shape[0]:
    raise ValueError(
        f'`strengths` has shape {strengths.shape}, but [S] is needed.')
  moved = latents[:, None] + strengths[:, None] * direction
  return _decode_steps(model, moved, conditions)


def _decode_steps(model, latents, conditions):
  """Decodes `[N, S, D]`, each row with its own conditions."""
  num_rows, num_steps, size = latents.shape
  repeated = {k: tf.repeat(v, num_steps, axis=0)
              for k, v in conditions.items()}
  images = model.decode(tf.reshape(latents, [-1, size]), **repeated)
  return tf.reshape(images, [num_rows, num_steps, *images.shape[1:]])


def linear(start, end, weights):
  """Latents on straight lines; see `interpolate`."""
  return start + weights * (end - start)


def spherical(start, end, weights):
  """Latents on arcs; see `interpolate`."""
  def unit(latents):
    return tf.math.l2_normalize(latents, axis=-1)

  cosine = tf.reduce_sum(unit(start) * unit(end), axis=-1, keepdims=True)
  angle = tf.acos(tf.clip_by_value(cosine, -1., 1.))
  sine = tf.sin(angle)
  is_straight = sine < _MIN_SINE
  sine = tf.where(is_straight, tf.ones_like(sine), sine)
  arc = (tf.sin((1. - weights) * angle) * start +
         tf.sin(weights * angle) * end) / sine
  return tf.where(is_straight, linear(start, end, weights), arc)


def _mean_latent(model, argument, images, batch_size, conditions):
  # In float64, so that many images do not lose the last ones' digits.
  total, count = tf.zeros([model.num_dims], tf.float64), 0
  for batch in _batches(model, argument, images, batch_size, conditions):
    latents = model.encode(**batch)
    total += tf.reduce_sum(tf.cast(latents, tf.float64), axis=0)
    count += len(latents)
  if not count:
    raise ValueError(f'`{argument}` is empty: at least one image is needed.')
  return tf.cast(total / count, model.compute_dtype)


def _batches(model, argument, images, batch_size, conditions):
  """`dict`s of images and conditions, one batch at a time."""
  if not hasattr(images, 'shape'):
    if conditions:
      raise ValueError(
          f'`{argument[:-1]}_conditions` is given, but `{argument}` is an '
          'iterable: let that yield (images, {name: condition}).')
    for batch in inputs_lib.iterable(argument, images):
      yield model.pack(batch)
    return
  for start in range(0, images.shape[0], batch_size):
    batch = slice(start, start + batch_size)
    yield {'images': images[batch],
           **{k: v[batch] for k, v in conditions.items()}}
