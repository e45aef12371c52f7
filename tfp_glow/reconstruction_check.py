"""Warns when activations can no longer be rebuilt."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import execution


class ReconstructionCheck(keras.callbacks.Callback):
  """Measures, as training goes, how well inputs are rebuilt from outputs.

  ```none
  error = max over runs of layers of  max |rebuilt - value| / max |value|
  ```

  Gradients with `memory='recompute'` are as good as what is rebuilt, and a
  layer that has become nearly singular rebuilds badly. The check goes the way
  the gradient goes, with the networks' own precision. It can be used with
  `memory='store'` as well, where nothing depends on it.

  #### Examples

  ```python
  check = tfp_glow.ReconstructionCheck(images[:32], every=500)
  model.fit(images, callbacks=[check])
  ```

  #### References

  [1]: Behrmann et al. Understanding and Mitigating Exploding Inverses in
       Invertible Neural Networks. 2020. https://arxiv.org/abs/2006.09347
  """

  def __init__(self, images, every=100, tolerance=1e-3, **conditions):
    """Takes the images to measure with.

    Args:
      images: uint8 `[N, H, W, C]`.
      every: Python `int`, steps between two checks. Default value: `100`.
      tolerance: Python `float`, the error above which there is a warning.
        Default value: `1e-3`.
      **conditions: The model's conditions, by name, batch-major.

    Raises:
      ValueError: If `every` is not positive.
    """
    super().__init__()
    if every < 1:
      raise ValueError(f'`every` must be a positive integer, got {every!r}.')
    self._images = images
    self._every = every
    self._tolerance = tolerance
    self._conditions = conditions
    # Step and error of each check.
    self.history = []

  def set_model(self, model):
    super().set_model(model)
    self._measure_in_graph = tf.function(self._measure, autograph=False)

  def errors(self):
    """The error of each run of layers now, `[num_runs]`."""
    return self._measure_in_graph(tf.convert_to_tensor(self._images))

  def on_train_batch_end(self, batch, logs=None):
    step = int(self.model.optimizer.iterations)
    if step % self._every:
      return
    error = float(np.max(self.errors(), initial=0.))
    self.history.append((step, error))
    if not error <= self._tolerance:
      warnings.warn(
          f'At step {step} inputs are rebuilt from outputs with a relative '
          f'error of {error:.1e}, above {self._tolerance:.1e}: a layer is '
          "nearly singular, and gradients with `memory='recompute'` are no "
          "better than that. Train with `memory='store'`, or a lower learning "
          'rate.', stacklevel=2)

  def _measure(self, images):
    errors = execution.ReconstructionErrors()
    self.model.latents_and_log_prob(
        self.model.pixels.middle(images), execution.Context(
            training=True, errors=errors, conditions=self._conditions))
    return tf.stack(errors.errors) if errors.errors else tf.zeros([0])
