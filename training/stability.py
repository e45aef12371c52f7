"""Whether samples are pictures, and images come back, of a trained flow."""

import math

import numpy as np
import tensorflow as tf

from training import layers

# The length of a change whose growth is measured: of an image, on a grey
# scale from 0 to 1, or of latents. float32 rounds both to far less.
CHANGE = 1e-3
_ITERATIONS = 16


class Stability:
  """Measures where a model's samples break down and its images are lost.

  Graphs are traced once, so that one object can measure again as the model
  trains. Conditions are batch-major; where more rows are measured than
  conditions are given for, they are taken in turn, from the first again.
  """

  def __init__(self, model, batch_size=256):
    """Takes the model.

    Args:
      model: `FlowModel`.
      batch_size: Python `int`, rows at once. Default value: `256`.
    """
    self._model = model
    self._batch_size = batch_size
    self._pixels = model.pixels
    self._scale = float(model.pixels.num_bins)
    self._layer_steps = {}
    for name in ('_decoded', '_there_and_back', '_encoding', '_decoding'):
      setattr(self, name, tf.function(
          getattr(self, name), reduce_retracing=True, autograph=False))

  def samples(self, num_samples, temperature, seed=0, **conditions):
    """How many samples are no pictures.

    Args:
      num_samples: Python `int`, how many to draw.
      temperature: Python `float`, factor of the latents.
      seed: Python `int`, of the latents, which are the same at each
        temperature. Default value: `0`.
      **conditions: Conditions of the model, by name.

    Returns:
      shares: `dict` of Python `float`s: `'not_finite'`, of all samples; and
        `'beyond_twice_the_range'`, those that are finite, with a value further
        from the middle of the grey scale than the scale is long.
    """
    latents = self._model.sample_latents(num_samples, temperature, seed)
    finite, beyond = [], []
    for rows, of_rows in self._batches(latents, conditions):
      values = self._decoded(rows, of_rows).numpy().reshape(len(rows), -1)
      finite.append(np.isfinite(values).all(axis=1))
      middle = self._scale / 2.
      within = (np.abs(values - middle) <= self._scale).all(axis=1)
      beyond.append(finite[-1] & ~within)
    return {'not_finite': float(1. - np.concatenate(finite).mean()),
            'beyond_twice_the_range': float(np.concatenate(beyond).mean())}

  def comes_back(self, images, **conditions):
    """Which images come back from their latents, all modelled bits exactly.

    Args:
      images: uint8 `[N, H, W, C]`.
      **conditions: Conditions of the model, by name.

    Returns:
      comes_back: bool array `[N]`.
    """
    values = self._pixels.middle(images).numpy()
    # As decoding does it, but for what is not a number.
    bins = np.clip(np.floor(self.there_and_back(values, **conditions)),
                   0., self._scale - 1.)
    return np.all(bins == np.floor(values), axis=(1, 2, 3))

  def there_and_back(self, values, **conditions):
    """What becomes of images on the way to the latents and back.

    Args:
      values: Dequantised images `[N, H, W, C]`.
      **conditions: Conditions of the model, by name.

    Returns:
      values: Array `[N, H, W, C]`, not finite where the flow breaks down.
    """
    return np.concatenate([
        self._there_and_back(rows, of_rows)
        for rows, of_rows in self._batches(values, conditions)])

  def encode_amplification(self, images, **conditions):
    """The largest growth of a small change of an image in its latents.

    ```none
    max over v, |v| = 1:  |encode(image + h v) - encode(image)| / h
    ```

    with images on a grey scale from 0 to 1, `h = 1e-3`, lengths of all pixels
    together, and `v` found by power iteration, so that what is found is at
    most the maximum.

    Args:
      images: uint8 `[N, H, W, C]`.
      **conditions: Conditions of the model, by name.

    Returns:
      growth: float array `[N]`; infinite where latents are not finite.
    """
    values = self._pixels.middle(images) / self._scale
    return np.concatenate([
        power_iteration(lambda *args, c=c: self._encoding(*args, c), rows)
        for rows, c in self._batches(values, conditions)])

  def decode_amplification(self, latents, **conditions):
    """The largest growth of a small change of latents in the image.

    See `encode_amplification`; `h = 1e-3` is of the latents here.

    Args:
      latents: `[N, D]`.
      **conditions: Conditions of the model, by name.

    Returns:
      growth: float array `[N]`; infinite where the image is not finite.
    """
    return np.concatenate([
        power_iteration(lambda *args, c=c: self._decoding(*args, c), rows)
        for rows, c in self._batches(latents, conditions)])

  def layers(self, images=None, latents=None, **conditions):
    """How much each layer amplifies a small change, in either direction.

    Args:
      images: uint8 `[N, H, W, C]`, to encode; or
      latents: `[N, D]`, to decode.
      **conditions: Conditions of the model, by name.

    Returns:
      layers: List of `dict`, from the data to the latents: `'layer'`, a name;
        `'kind'`, its class; `'encode'` and `'decode'`, the largest growth of a
        change in that layer alone, over the rows that are finite there, `None`
        if there is none; and `'not_finite'`, how many rows are not.
    """
    inverse = latents is None
    values = self._pixels.middle(images) if inverse else latents
    points = layers.points(
        self._model.distribution.bijector, tf.convert_to_tensor(values),
        inverse, self._rows(conditions, 0, len(values)))
    return [{'layer': point.name, 'kind': type(point.layer).__name__,
             **self._of_layer(point)} for point in points]

  def _of_layer(self, point):
    finite = tf.reduce_all([
        tf.math.is_finite(tf.reshape(_length(values), [-1]))
        for values in (point.data, point.latent)], axis=0)
    result = {'encode': None, 'decode': None,
              'not_finite': int(tf.reduce_sum(tf.cast(~finite, tf.int32)))}
    conditions = {name: value[finite]
                  for name, value in point.conditions.items()}
    for way, function, values in (
        ('encode', point.layer.inverse, point.data),
        ('decode', point.layer.forward, point.latent)):
      values = values[finite]
      if len(values):
        step = self._layer_step((point.name, way), function)
        growth = power_iteration(
            lambda *args, s=step: s(*args, conditions), values)
        result[way] = float(growth.max())
    return result

  def _layer_step(self, key, function):
    """`grow` of a layer, traced once for all rows that are measured."""
    if key not in self._layer_steps:

      def step(values, direction, conditions):
        # What float32 rounds to grows with the values, which may be huge.
        size = CHANGE * tf.maximum(1., _length(values) / math.sqrt(
            values.shape[1:].num_elements()))
        return grow(lambda v: function(v, **conditions), values, direction,
                    size)

      self._layer_steps[key] = tf.function(
          step, reduce_retracing=True, autograph=False)
    return self._layer_steps[key]

  def _batches(self, values, conditions):
    for start in range(0, len(values), self._batch_size):
      rows = tf.convert_to_tensor(values[start:start + self._batch_size])
      yield rows, self._rows(conditions, start, len(rows))

  def _rows(self, conditions, start, count):
    return {name: tf.gather(value, np.arange(start, start + count) % len(value))
            for name, value in conditions.items()}

  def _decoded(self, latents, conditions):
    return self._model.dequantised(latents, **conditions)

  def _there_and_back(self, values, conditions):
    latents, _ = self._model.latents_and_log_prob(values, **conditions)
    return self._model.dequantised(latents, **conditions)

  def _encoding(self, values, direction, conditions):
    return grow(
        lambda v: self._model.latents_and_log_prob(
            v * self._scale, **conditions)[0], values, direction)

  def _decoding(self, latents, direction, conditions):
    return grow(
        lambda v: self._model.dequantised(v, **conditions) / self._scale,
        latents, direction)


def outside(images, seed=0):
  """Images that no data set of photographs has, as many and as large.

  Args:
    images: uint8 or uint16 `[N, H, W, C]`.
    seed: Python `int`, of the noise. Default value: `0`.

  Returns:
    images: `dict` of `[N, H, W, C]`, of the same type: `'noise'`, uniform;
      `'constant'`, each of one grey level, from black to white; `'inverted'`.
  """
  images = np.asarray(images)
  white = np.iinfo(images.dtype).max
  levels = np.linspace(0., white, len(images)).astype(images.dtype)
  return {
      'noise': np.random.default_rng(seed).integers(
          0, white, images.shape, images.dtype, endpoint=True),
      'constant': np.broadcast_to(
          levels.reshape(-1, 1, 1, 1), images.shape).copy(),
      'inverted': white - images,
  }


def grow(function, values, direction, size=CHANGE):
  """One step of power iteration with the function's Jacobian `J`.

  `J direction` is a difference: with `memory='recompute'` a flow has no
  derivative of this kind.

  Args:
    function: Function of a batch, row by row.
    values: `Tensor` `[N, ...]`, where it is linearised.
    direction: `Tensor` `[N, ...]`, of length 1, or 0 to leave a row out.
    size: `Tensor` `[N, 1, ...]`, or one number, the length of a small change.
      Default value: `CHANGE`.

  Returns:
    growth: `Tensor` `[N]`, of a small change along `direction`.
    direction: `Tensor` `[N, ...]`, `J^T J direction`, of length 1.
  """
  with tf.GradientTape() as tape:
    tape.watch(values)
    # To a bijector another tensor, so that nothing is looked up.
    result = function(tf.identity(values))
  difference = function(values + size * direction) - result
  length = _length(difference)
  back = tape.gradient(
      result, values, tf.math.divide_no_nan(difference, length))
  growth = tf.reshape(length, [-1]) / tf.reshape(size, [-1])
  direction = tf.math.divide_no_nan(back, _length(back))
  # A row that has broken down grows no more.
  direction = tf.where(
      tf.math.is_finite(_length(direction)), direction,
      tf.zeros_like(direction))
  infinite = tf.fill(tf.shape(growth), growth.dtype.max) * 2.
  return tf.where(tf.math.is_finite(growth), growth, infinite), direction


def power_iteration(step, values):
  """The largest growth that is found, `[N]`, by `step`, which is `grow`."""
  direction = tf.random.stateless_normal(
      tf.shape(values), [0, 0], dtype=values.dtype)
  direction /= _length(direction)
  largest = np.zeros(len(values))
  for _ in range(_ITERATIONS):
    growth, direction = step(values, direction)
    largest = np.maximum(largest, growth)
  return largest


def _length(values):
  """The length of each row, `[N, 1, ...]`."""
  axes = list(range(1, values.shape.rank))
  # Not of squares of what is large, which would not be finite.
  largest = tf.reduce_max(tf.abs(values), axes, keepdims=True)
  return largest * tf.sqrt(tf.reduce_sum(
      tf.math.divide_no_nan(values, largest)**2, axes, keepdims=True))
