"""Images in files, for tests of what reads them."""

import numpy as np
from PIL import Image


def save(path, image=None, **kwargs):
  """Saves an image, or one of a grey of its own, and makes its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if image is None:
    image = np.full((4, 4, 3), len(list(path.parent.iterdir())), np.uint8)
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  image.save(path, **kwargs)


def all_of(batches):
  """All images of batches, and their labels if they have any."""
  batches = list(batches.as_numpy_iterator())
  if isinstance(batches[0], tuple):
    return [np.concatenate(parts) for parts in zip(*batches)]
  return np.concatenate(batches)
