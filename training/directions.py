"""Directions of a data set's attributes in the latent space."""

import numpy as np

from training import evaluation
from training import groups

_BATCH_SIZE = 100


def of_attributes(model, images, names):
  """The directions of several attributes, encoding each image once.

  ```none
  direction = mean(z | the attribute) - mean(z | not)
  ```

  Each is what `tfp_glow.attribute_direction` gives of the two groups.

  Args:
    model: `FlowModel`.
    images: `data.Data`, of which the images to evaluate on are taken.
    names: List of Python `str`, attributes that are yes or no.

  Returns:
    directions: `dict` from names to float32 arrays `[D]`.

  Raises:
    ValueError: If there is no such attribute, or all images have it, or none.
  """
  has = groups.yes_or_no(images, names).astype(np.float64)
  counts = has.sum(axis=0)
  for name, count in zip(names, counts):
    if count in (0, len(has)):
      raise ValueError(
          f'{name!r} has no direction: {count:.0f} of {len(has)} images have '
          'it.')
  # A weight for each image, so that one sum is the difference of two means.
  weights = has / counts - (1. - has) / (len(has) - counts)
  total, start = np.zeros([len(names), model.num_dims]), 0
  for batch in images.eval_batches(_BATCH_SIZE):
    pixels, conditions = evaluation.unpack(model, batch)
    latents = model.encode(pixels, **conditions).numpy()
    total += weights[start:start + len(latents)].T @ latents
    start += len(latents)
  return dict(zip(names, total.astype(np.float32)))
