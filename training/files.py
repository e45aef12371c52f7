"""Images of a folder, file by file, as the model of a run sees them."""

from collections.abc import Iterator
import pathlib

import ml_collections
import numpy as np
import tensorflow as tf

from training.data import image_folder
from training.data import layout
from training.data import preparation
from training.data import reading as reading_lib


class Files:
  """The images in a folder and in those below it, in the order of their names.

  Each is prepared as the recipe says, and then has the shape of the run.

  Attributes:
    paths: Of the images, with the folder.
    left_out: Dictionary from paths to why there is no image of them; it grows
      as the images are read.
    resized: How many images had another size, so far.
    reading: `reading.Reading`, what was found out about their values.
  """

  def __init__(self, config: ml_collections.ConfigDict, folder: str,
               image_shape: tuple[int, int, int]):
    """Lists the images.

    Args:
      config: The fields of a recipe.
      folder: Path.
      image_shape: `(H, W, C)` of the run.

    Raises:
      ValueError: If there is no such folder, or no image in it.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
      raise ValueError(f'There is no folder {folder}.')
    names, _ = layout.list_images(root)
    if not names:
      raise ValueError(
          f'There is no image in {folder}: no file has the suffix of one.')
    self.paths = [root.joinpath(*parts) for parts in names]
    self.left_out = {}
    self.resized = 0
    self._depth = 8 if config.model.num_bits <= 8 else 16
    self.reading = reading_lib.Reading(config.data.bits, self._depth)
    self._shape = tuple(image_shape)
    self._fields = config.data.copy_and_resolve_references()
    self._fields.channels = (
        self._shape[-1] if self._shape[-1] in (1, 3) else None)
    if self._fields.image_size is None:
      self._fields.image_size = tuple(
          side - 2 * self._fields.pad for side in self._shape[:2])

  def batches(self, batch_size: int) -> Iterator[
      tuple[list[pathlib.Path], np.ndarray]]:
    """Reads the images.

    Args:
      batch_size: How many files are read for a batch.

    Yields:
      paths: Of those that could be read; there may be none.
      images: uint8 or, of a run of more than 8 bits, uint16
        `[len(paths), H, W, C]`.
    """
    for start in range(0, len(self.paths), batch_size):
      paths, images = [], []
      for path in self.paths[start:start + batch_size]:
        try:
          images.append(self.read(path))
          paths.append(path)
        except Exception as error:  # Pillow raises anything on damaged files
          self.left_out[path] = str(error)
      yield paths, np.reshape(
          np.array(images, self.reading.dtype), [-1, *self._shape])

  def read(self, path: pathlib.Path) -> np.ndarray:
    """Reads one image, `[H, W, C]`, or raises what Pillow raises."""
    reading = reading_lib.Reading(self._fields.bits, self._depth)
    pixels = image_folder.read_image(path, reading)
    reading.check()
    if self._fields.channels is None and pixels.shape[-1] != self._shape[-1]:
      raise ValueError(
          f'it has {pixels.shape[-1]} channels, but the run has '
          f'{self._shape[-1]}')
    self.reading.add(reading)
    size, smallest = pixels.shape[:2], preparation.smallest(self._fields)
    if smallest is None and (
        self._fields.crop == 'random' and self._fields.shorter_side is None):
      smallest = self._shape
    if smallest is not None and (
        size[0] < smallest[0] or size[1] < smallest[1]):
      raise ValueError(
          f'it has {size[0]}x{size[1]} pixels, but the recipe cuts '
          f'{smallest[0]}x{smallest[1]} out')
    self.resized += size != self._shape[:2]
    prepared = preparation.prepare(tf.constant(pixels), self._fields).numpy()
    # Where training cuts windows out at random, evaluation takes the centre.
    height, width, _ = self._shape
    top, left = ((side - kept + 1) // 2 for side, kept in zip(
        prepared.shape, self._shape[:2]))
    return prepared[top:top + height, left:left + width]
