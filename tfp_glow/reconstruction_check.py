"""Warns when activations can no longer be reconstructed."""

from typing import Any
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import execution
from tfp_glow.model import inputs as inputs_lib


class ReconstructionCheck(keras.callbacks.Callback):
  """Measures, as training goes, how well inputs are reconstructed.

  ```none
  error = max over segments of  max |reconstructed - value| / max |value|
  ```

  Gradients with `memory='recompute'` are as good as what is reconstructed, and
  a layer that has become nearly singular reconstructs badly. The check goes the
  way the gradient goes, with the networks' own precision. It can be used with
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

  def __init__(self, images: Any, every: int = 100, tolerance: float = 1e-3,
               **conditions: Any):
    """Keeps the images to measure with.

    Args:
      images: uint8 (uint16, of more than 8 bits) `[N, H, W, C]`.
      every: Steps between two checks.
      tolerance: The error above which there is a warning.
      **conditions: The model's conditions, by name, batch-major.

    Raises:
      ValueError: If `every` is no positive integer, or `tolerance` not
        positive.
    """
    super().__init__()
    inputs_lib.positive('every', every)
    if not tolerance > 0.:
      raise ValueError(f'`tolerance` must be positive, got {tolerance!r}.')
    self._images = images
    self._every = every
    self._tolerance = tolerance
    self._conditions = conditions
    # Step and error of each check.
    self.history = []
    self.noise_history = []

  def set_model(self, model):
    super().set_model(model)
    self._inputs = model.checked({'images': self._images, **self._conditions})
    dtype = model.pixels.image_dtype
    self._noise_inputs = {**self._inputs, 'images': tf.convert_to_tensor(
        np.random.default_rng(0).integers(
            0, dtype.max, self._inputs['images'].shape, dtype.as_numpy_dtype,
            endpoint=True))}
    self._measure_in_graph = tf.function(self._measure, autograph=False)

  def errors(self) -> tf.Tensor:
    """The error of each segment of layers now, `[num_segments]`."""
    return self._measure_in_graph(self._inputs)

  def noise_errors(self):
    """The same for as many images of uniform noise."""
    return self._measure_in_graph(self._noise_inputs)

  def on_train_batch_end(self, batch, logs=None):
    step = int(self.model.optimizer.iterations)
    if step % self._every:
      return
    error = float(np.max(self.errors(), initial=0.))
    self.history.append((step, error))
    if not error <= self._tolerance:
      warnings.warn(
          f'At step {step} inputs are reconstructed with a relative '
          f'error of {error:.1e}, above {self._tolerance:.1e}: a layer is '
          "nearly singular, and gradients with `memory='recompute'` are no "
          "better than that. Train with `memory='store'`, or a lower learning "
          'rate.', stacklevel=2)
    noise_error = float(np.max(self.noise_errors(), initial=0.))
    self.noise_history.append((step, noise_error))
    if error <= self._tolerance and not noise_error <= self._tolerance:
      warnings.warn(
          f'At step {step} images of uniform noise are rebuilt with a relative '
          f'error of {noise_error:.1e}, above {self._tolerance:.1e}, though '
          'those given are rebuilt well: away from the data the flow does not '
          'invert, and samples may not be finite. Affine couplings with '
          "`scale='bounded'` help, and so does a lower learning rate.",
          stacklevel=2)

  def _measure(self, inputs):
    conditions = dict(inputs)
    images = conditions.pop('images')
    errors = execution.ReconstructionErrors()
    self.model.latents_and_log_prob(
        self.model.pixels.middle(images), execution.Context(
            training=True, errors=errors, conditions=conditions))
    return tf.stack(errors.errors) if errors.errors else tf.zeros([0])
