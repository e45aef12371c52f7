"""What one does with latents: interpolate, and move along attributes."""

import numpy as np
import tensorflow as tf


def interpolate(model, a, b, num_steps, **conditions):
  """Images on the straight lines between the latents of two batches.

  ```none
  image[s] = decode((1 - w) encode(a) + w encode(b)),   w = s / (num_steps - 1)
  ```

  Args:
    model: `FlowModel`.
    a: uint8 images `[N, H, W, C]`, where the lines begin.
    b: uint8 images `[N, H, W, C]`, where they end.
    num_steps: Python `int`, at least 2, images on each line, ends included.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    images: uint8 `Tensor` `[N, num_steps, H, W, C]`.

  Raises:
    ValueError: If shapes differ, or there are fewer than two steps.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 6, Figure 5.
       https://arxiv.org/abs/1807.03039
  """
  if num_steps < 2:
    raise ValueError(f'`num_steps` must be at least 2, got {num_steps}.')
  a, b = np.asarray(a), np.asarray(b)
  if a.shape != b.shape:
    raise ValueError(
        f'`a` and `b` must have one shape, got {a.shape} and {b.shape}.')
  start = model.encode(a, **conditions)[:, None]
  end = model.encode(b, **conditions)[:, None]
  weights = tf.cast(
      tf.linspace(0., 1., num_steps)[None, :, None], start.dtype)
  return _decode_steps(model, start + weights * (end - start), conditions)


def attribute_direction(model, positives, negatives, batch_size=256,
                        positive_conditions=None, negative_conditions=None):
  """Difference of the mean latents of images with and without an attribute.

  Args:
    model: `FlowModel`.
    positives: uint8 images `[N, H, W, C]` that have it, or an iterable of
      batches of them.
    negatives: uint8 images `[M, H, W, C]` that do not, or an iterable of
      batches.
    batch_size: Python `int`, images encoded at once. Default value: `256`.
    positive_conditions: `dict` of conditions of `positives`, batch-major.
      Default value: `None`.
    negative_conditions: `dict` of conditions of `negatives`, batch-major.
      Default value: `None`.

  Returns:
    direction: `Tensor` `[D]`.

  Raises:
    ValueError: If a group is empty.

  #### References

  [1]: Kingma and Dhariwal. Glow. 2018. Section 6, Figure 6.
       https://arxiv.org/abs/1807.03039
  """
  means = [
      _mean_latent(model, argument, images, batch_size, conditions or {})
      for argument, images, conditions in (
          ('positives', positives, positive_conditions),
          ('negatives', negatives, negative_conditions))]
  return means[0] - means[1]


def manipulate(model, images, direction, strengths, **conditions):
  """Images moved along a direction of the latent space.

  ```none
  image[s] = decode(encode(image) + strengths[s] * direction)
  ```

  Args:
    model: `FlowModel`.
    images: uint8 `[N, H, W, C]`.
    direction: `Tensor` `[D]`, from `attribute_direction`, say.
    strengths: Floats `[S]`; negative ones go the other way.
    **conditions: Conditions of the model, by name, batch-major.

  Returns:
    images: uint8 `Tensor` `[N, S, H, W, C]`.

  Raises:
    ValueError: If `direction` has another size, or `strengths` is no list.
  """
  latents = model.encode(images, **conditions)
  direction = tf.cast(direction, latents.dtype)
  if direction.shape != latents.shape[1:]:
    raise ValueError(
        f'`direction` has shape {direction.shape}, but '
        f'{latents.shape[1:]} is needed.')
  strengths = tf.cast(strengths, latents.dtype)
  if strengths.shape.rank != 1:
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


def _mean_latent(model, argument, images, batch_size, conditions):
  if hasattr(images, 'shape'):
    starts = range(0, images.shape[0], batch_size)
    batches = [(images[i:i + batch_size],
                {k: v[i:i + batch_size] for k, v in conditions.items()})
               for i in starts]
  else:
    batches = ((batch, {}) for batch in images)
  # In float64, so that many images do not lose the last ones' digits.
  total, count = tf.zeros([model.num_dims], tf.float64), 0
  for batch, seen in batches:
    total += tf.reduce_sum(
        tf.cast(model.encode(batch, **seen), tf.float64), axis=0)
    count += len(batch)
  if not count:
    raise ValueError(f'`{argument}` is empty: at least one image is needed.')
  return tf.cast(total / count, model.compute_dtype)
