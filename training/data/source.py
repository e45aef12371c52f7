"""What a source of images is, and how its splits are named."""

import abc
import dataclasses

from absl import logging
import tensorflow_datasets as tfds

# How many of the files that are skipped are named.
_NUM_LISTED = 10


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
  """

  class_names: list[str] | None = None
  attributes: dict[str, list[str]] = {}

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
  def examples(self, rows, skipped):
    """Reads some rows.

    Args:
      rows: List of `Rows`.
      skipped: List, to which what cannot be read is added, as the examples
        are: a Python `str`, what it is and why.

    Returns:
      examples: `tf.data.Dataset` of pairs: an image, uint8 `[H, W, C]`, and
        its label, int32, `0` where there are none. In a fixed order.
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


def log_skipped(name, skipped):
  """Says what was left out, if anything was."""
  if skipped:
    listed = ''.join(f'\n  {one}' for one in sorted(skipped)[:_NUM_LISTED])
    more = '' if len(skipped) <= _NUM_LISTED else '\n  ...'
    logging.warning('%s: %d skipped:%s%s', name, len(skipped), listed, more)


def default_splits(source):
  """What to train on and what to evaluate on, where nobody said."""
  names = list(source.splits)
  held_out = next(
      (name for name in ('test', 'validation') if name in names), None)
  if 'train' in names and held_out:
    return 'train', held_out
  whole = 'train' if 'train' in names else names[0]
  return f'{whole}[:90%]', f'{whole}[90%:]'
