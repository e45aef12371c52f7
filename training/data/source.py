"""What a source of images is, and how its splits are named."""

import abc
import dataclasses

import tensorflow_datasets as tfds

from training.data import layout


@dataclasses.dataclass(frozen=True)
class Rows:
  """A part of one split: its rows from `start` to before `stop`."""

  split: str
  start: int
  stop: int


class Source(abc.ABC):
  """Images in splits, as they are stored.

  Attributes:
    name: Python `str`, as in the configuration.
    class_names: List of Python `str`, or `None` where images have no labels.
    attributes: `dict` from what is known of each image (`'smile'`) to the
      names of its values (`['no', 'yes']`).
    map_channels: Python `int`, channels of maps of one's own: the last ones
      of what `examples` has; 0 where there are none.
    is_held_out: Python `bool`, whether `test` is a tenth of each class that
      the source itself has held out.
  """

  class_names: list[str] | None = None
  attributes: dict[str, list[str]] = {}
  map_channels = 0
  is_held_out = False

  def __init__(self, name):
    self.name = name

  @property
  @abc.abstractmethod
  def splits(self):
    """How many examples each split has, by name."""

  @abc.abstractmethod
  def fingerprint(self, rows):
    """What tells other content apart: something that JSON can hold."""

  @abc.abstractmethod
  def examples(self, rows, reading):
    """Reads some rows.

    Args:
      rows: List of `Rows`.
      reading: `reading.Reading`, which is told of them as they are read.

    Returns:
      examples: `tf.data.Dataset` of pairs: an image, of `reading.dtype`,
        `[H, W, C]`, its map, if any, among its channels, and its label, int32,
        `0` where there are none. In a fixed order.
    """

  def attribute(self, rows, name):
    """Reads an attribute of some rows, in the order of `examples`.

    Args:
      rows: List of `Rows`.
      name: Python `str`, of `attributes`.

    Returns:
      values: int32 `[N]`, numbers of the attribute's values.
    """
    raise NotImplementedError(f'{self.name!r} has no attributes.')


def select(source, argument, split):
  """The rows that a split names.

  Args:
    source: `Source`.
    argument: Python `str`, what the user calls `split`, for errors.
    split: Python `str`, in TFDS's syntax.

  Returns:
    rows: List of `Rows`, together not empty.

  Raises:
    ValueError: If there is no such split, or nothing in it.
  """
  sizes = source.splits
  infos = tfds.core.splits.SplitDict([
      tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0)
      for name, size in sizes.items()])
  listed = ', '.join(f'{name} ({size:,})' for name, size in sizes.items())
  try:
    instructions = tfds.core.ReadInstruction.from_spec(split).to_absolute(infos)
  except (AssertionError, KeyError, ValueError) as error:
    raise ValueError(
        f'`{argument}` is {split!r}, which {source.name!r} does not have: '
        f'{error}. Its splits are {listed}; parts are named like '
        "'train[:90%]'.") from error
  rows = [
      Rows(instruction.splitname, instruction.from_ or 0,
           sizes[instruction.splitname] if instruction.to is None
           else instruction.to)
      for instruction in instructions]
  if not sum(part.stop - part.start for part in rows):
    raise ValueError(
        f'`{argument}` is {split!r}, which is empty: the splits of '
        f'{source.name!r} are {listed}.')
  return rows


def default_splits(source):
  """What to train on and what to evaluate on, where nobody said.

  Args:
    source: `Source`.

  Returns:
    train_split: Python `str`, in TFDS's syntax.
    eval_split: Python `str`.
  """
  roles = {}
  for name in source.splits:
    roles.setdefault(layout.role(name), name)
  whole = roles.get('train', next(iter(source.splits)))
  held_out = roles.get('test', roles.get('validation'))
  if 'train' in roles and held_out:
    return whole, held_out
  return f'{whole}[:90%]', f'{whole}[90%:]'
