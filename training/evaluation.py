"""What is measured of a model."""

import math

from absl import logging
import numpy as np
import tensorflow as tf
import tqdm

import tfp_glow
from training import data
from training import stability

_SECONDS_OF_SILENCE = 2


def bits_per_dim(model, batches, num_samples=None, seed=0):
  """Bits/dim of each image.

  With `num_samples`, by the importance-weighted bound

  ```none
  log p(image) >= log mean_k p(bins + u_k),   u_k uniform in [0, 1)
  ```

  which rises to log p(image) as there are more samples. Without, by the one
  noise that `FlowModel.log_prob` always uses. A warning counts images that
  have no finite density.

  Args:
    model: `FlowModel`.
    batches: `tf.data.Dataset` of images, or of images and labels.
    num_samples: Python `int`, samples of noise for each image.
      Default value: `None`.
    seed: Python `int`, of the noise. Default value: `0`.

  Returns:
    bits_per_dim: float64 array `[N]`.

  #### References

  [1]: Burda, Grosse and Salakhutdinov. Importance Weighted Autoencoders.
       2015. Equation 8. https://arxiv.org/abs/1509.00519
  """
  @tf.function(autograph=False, reduce_retracing=True)
  def log_prob(images, noise, conditions):
    return model.latents_and_log_prob(
        model.pixels.dequantise(images, noise), **conditions)[1]

  generator = tf.random.Generator.from_seed(seed)
  results = []
  for batch in shown(batches, 'Measuring bits/dim'):
    images, conditions = unpack(model, batch)
    if num_samples is None:
      values = model.log_prob(images, **conditions)
    else:
      values = tf.reduce_logsumexp([
          log_prob(images, generator.uniform(
              images.shape, dtype=model.compute_dtype), conditions)
          for _ in range(num_samples)], axis=0) - math.log(num_samples)
    results.append(np.asarray(values, np.float64))
  bits = np.asarray(model.pixels.bits_per_dim(np.concatenate(results)))
  if not np.isfinite(bits).all():
    logging.warning(
        '%d of %d images have no finite density, so mean bits/dim is not '
        'finite either: the flow breaks down there. A lower learning rate '
        'helps, and so do bounded scales (of a Glow, '
        '--config.model.scale=bounded).', np.sum(~np.isfinite(bits)), len(bits))
  return bits


def mean_and_error(values):
  """Mean and its standard error, nan of one value: `(float, float)`."""
  error = (np.std(values, ddof=1) / math.sqrt(len(values))
           if len(values) > 1 else math.nan)
  return float(np.mean(values)), float(error)


def as_text(mean, error):
  """A mean, and its standard error if there is one."""
  return f'{mean:.3f}' if math.isnan(error) else f'{mean:.3f} +- {error:.3f}'


def shown(batches, doing):
  """Batches, with a bar where going through them takes seconds.

  Args:
    batches: Iterable of batches.
    doing: Python `str`, what is done with them.

  Returns:
    batches: Iterable of the same.
  """
  return tqdm.tqdm(
      batches, doing, unit=' batches', delay=_SECONDS_OF_SILENCE, leave=False,
      dynamic_ncols=True, disable=None)


def latent_statistics(model, images, **conditions):
  """Mean and standard deviation of each level's latents.

  Far from 0 and 1 is the first sign that something is wrong.

  Args:
    model: `FlowModel`.
    images: uint8 `[N, H, W, C]`.
    **conditions: Conditions of the model, by name.

  Returns:
    statistics: `dict` from `'latent_mean_0'`, `'latent_std_0'` and so on, the
      level nearest to the data first, to Python `float`s.
  """
  latents = model.encode(images, **conditions)
  split = getattr(model.flow, 'split_latent', lambda latents: [latents])
  statistics = {}
  for level, part in enumerate(split(latents)):
    statistics[f'latent_mean_{level}'] = float(tf.reduce_mean(part))
    statistics[f'latent_std_{level}'] = float(tf.math.reduce_std(part))
  return statistics


def typicality(config, model, count):
  """What a model's training images have in bits/dim, for scores of others.

  Args:
    config: The fields of the model's recipe.
    model: `FlowModel`.
    count: Python `int`, of how many training images at most.

  Returns:
    typicality: `tfp_glow.Typicality`.
  """
  examples = data.open(
      unaugmented(config), num_bits=config.model.num_bits)
  batch = examples.train_examples(
      min(count, examples.num_train), config.seed)
  images, conditions = unpack(model, batch)
  return tfp_glow.Typicality.fit(model.bits_per_dim(images, **conditions))


def unaugmented(config):
  """The fields of a recipe's data, with training images as they are."""
  fields = config.data.copy_and_resolve_references()
  with fields.ignore_type():
    fields.update(flip=False, shift=0, mutate=0.)
  return fields


def reconstruction(model, batches, seed=0):
  """What is lost on the way to the latents and back.

  Args:
    model: `FlowModel`.
    batches: `tf.data.Dataset` of images, or of images and labels.
    seed: Python `int`, of dequantisation noise. Default value: `0`.

  Returns:
    error: The largest error of a dequantised pixel, of a grey scale from 0
      to 1; NaN where one is not finite.
    exact: How many images come back with every pixel's bin unchanged.
  """
  pixels = model.pixels
  measured = stability.Stability(model)
  generator = np.random.default_rng(seed)
  error, exact = 0., 0
  for batch in shown(batches, 'Going to the latents and back'):
    images, conditions = unpack(model, batch)
    dequantised = pixels.dequantise(images, generator.random(images.shape))
    back = measured.there_and_back(dequantised, **conditions)
    error = np.maximum(error, np.max(np.abs(back - dequantised)))
    exact += int(measured.comes_back(images, **conditions).sum())
  return float(error) / pixels.num_bins, exact


def images_and_labels(batches):
  """All images of a data set, and their labels or `None`, as arrays."""
  batches = [batch if isinstance(batch, tuple) else (batch, None)
             for batch in batches.as_numpy_iterator()]
  images, labels = zip(*batches)
  if isinstance(labels[0], dict):
    labels = [conditions.get('label') for conditions in labels]
  return np.concatenate(images), (
      None if labels[0] is None else np.concatenate(labels))


def unpack(model, batch):
  """The images of a batch, and the conditions that the model takes."""
  inputs = model.pack(batch)
  return inputs['images'], {name: value for name, value in inputs.items()
                            if name in model.condition_names}


def repeated(conditions, row, count):
  """The conditions of one row, `count` times."""
  return {name: tf.repeat(value[row:row + 1], count, axis=0)
          for name, value in conditions.items()}


def unpacked(model, batches):
  """Batches as `fit` takes them: without labels that the model does not take.

  Args:
    model: `FlowModel`.
    batches: `tf.data.Dataset` of `data.Data`.

  Returns:
    batches: `tf.data.Dataset`.
  """
  spec = batches.element_spec
  if not (isinstance(spec, tuple) and isinstance(spec[1], dict)):
    return batches  # labels without a name are left out by `fit` itself
  return batches.map(lambda *batch: unpack(model, batch))
