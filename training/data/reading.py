"""What is found out about images as they are read."""

import threading

from absl import logging
import numpy as np

# How many of the files that are skipped are named.
_NUM_LISTED = 10


class Reading:
  """Brings values to 8 or 16 bits, and remembers what must be told of them.

  Attributes:
    skipped: List of Python `str`: what could not be read, and why.
    largest: `dict` from how many bits a value has room for to the largest
      value, a Python `int`, and to where it is, a Python `str`.
  """

  def __init__(self, bits=None, depth=8):
    """Says what values fill, and what they are brought to.

    Args:
      bits: Python `int`, the field `bits`: how many bits values fill, if not
        all. Default value: `None`.
      depth: Python `int`, how many bits images are to have, 8 or 16. Default
        value: `8`.
    """
    self.skipped = []
    self.largest = {}
    self._bits = bits
    self._depth = depth
    self._lock = threading.Lock()

  @property
  def knows_bits(self):
    """Whether `bits` is set."""
    return self._bits is not None

  @property
  def dtype(self):
    """NumPy's type of images: uint8, or uint16."""
    return np.dtype(np.uint8 if self._depth == 8 else np.uint16)

  def to_top(self, values, where, room=None):
    """Values whose highest bit is that of images.

    Args:
      values: Integers of 8, 16 or 32 bits, not negative.
      where: Python `str`, of what.
      room: Python `int`, how many bits the values have room for. Default value:
        `None`, all of their type.

    Returns:
      values: uint8 or uint16, as images are, of the same shape.
    """
    room = room or 8 * values.dtype.itemsize
    self.see(room, int(values.max(initial=0)), where)
    surplus = self._filled(room) - self._depth
    if surplus >= 0:
      return (values >> surplus).astype(self.dtype)
    return values.astype(self.dtype) << -surplus

  def see(self, room, value, where):
    """Remembers the largest value of those that have room for so many bits."""
    with self._lock:  # several threads read
      if value > self.largest.get(room, (-1, ''))[0]:
        self.largest[room] = value, where

  def add(self, other):
    """Remembers what another has found."""
    self.skipped += other.skipped
    for room, (value, where) in other.largest.items():
      self.see(room, value, where)

  def see_upper_bytes(self, values, where):
    """Remembers values of 16 bits, of which only the upper 8 could be read."""
    if self._filled(16) < 16 or self._depth > 8:
      raise ValueError(
          'colours of 16 bits, of which only the upper 8 are read, so that '
          '`bits` does not apply, nor more than 8 are modelled: store them as '
          'PNG')
    self.see(16, int(values.max()) << 8 | 255, where)

  def check(self):
    """Raises if values are larger than the bits that they are to fill."""
    for room, (value, where) in self.largest.items():
      if value >> self._filled(room):
        raise ValueError(
            f'`bits` is {self._bits}, but {where} has the value {value:,}, '
            f'which takes {value.bit_length()}.')

  def check_fills(self, num_bits, name):
    """Raises if a model is to have more bits than values fill.

    Args:
      num_bits: Python `int`, of the model.
      name: Python `str`, of the source.
    """
    filled = max((self._filled(room) for room in self.largest), default=16)
    if num_bits > filled:
      raise ValueError(
          f'`model.num_bits` is {num_bits}, but the values of {name!r} fill '
          f'{filled} bits: {filled} or less are needed.')

  def warn(self, name):
    """Says what was skipped, and where the upper half of the range is empty.

    Args:
      name: Python `str`, of the source.
    """
    log_skipped(name, self.skipped)
    for room, (value, _) in self.largest.items():
      if not value >> (self._filled(room) - 1):
        logging.warning(
            '%s: the largest value of its images of %d bits is %d: they come '
            'out dark, with few levels. If their values fill %d bits, say '
            '--config.data.bits=%d, which brings them to the top.', name, room,
            value, value.bit_length() or 1, value.bit_length() or 1)

  def conversions(self):
    """Sentences: what becomes of values that are not of as many bits."""
    if self._depth > 8:
      return [
          f'Of values of {room} bits, the lower {self._filled(room)} are '
          f'brought to the top of {self._depth}.'
          for room in sorted(self.largest) if self._filled(room) < self._depth]
    return [
        f'Of values of {room} bits, the upper 8 of the lower '
        f'{self._filled(room)} are taken.' if self._filled(room) < room else
        f'Of values of {room} bits, the upper 8 are taken.'
        for room in sorted(self.largest) if room > 8 or self._filled(room) < 8]

  def _filled(self, room):
    """What has no room for `bits` fills its own."""
    return room if self._bits is None or self._bits > room else self._bits


def log_skipped(name, skipped):
  """Says what was left out, if anything was."""
  if skipped:
    logging.warning('%s: %d skipped:%s', name, len(skipped), listed(skipped))


def listed(skipped):
  """The first of what was skipped, a line each."""
  lines = ''.join(f'\n  {one}' for one in sorted(skipped)[:_NUM_LISTED])
  return lines if len(skipped) <= _NUM_LISTED else f'{lines}\n  ...'
