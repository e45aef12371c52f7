"""Plans how a row of layers is evaluated, once, with the row."""

import dataclasses

from tfp_glow.execution import contract

# Up to so many alike steps a graph without a scan is about as large as one
# with a scan, and runs faster.
MOST_UNROLLED = 8


@dataclasses.dataclass(frozen=True)
class Segment:
  """Layers in a row that keep an event's shape, nearest to the data first.

  Attributes:
    steps: The layers, neighbours fused.
    period: After how many steps the steps repeat, often enough for a scan; or
      0.
  """

  steps: tuple[contract.Layer, ...]
  period: int = 0

  def ordered(self, inverse):
    """Returns the steps in the order of their evaluation."""
    return self.steps if inverse else self.steps[::-1]


def segments(layers):
  """Cuts layers in a row into segments.

  Args:
    layers: List of `Layer`, nearest to the data first, that keep the event's
      shape.

  Returns:
    segments: List of `Segment`.
  """
  steps = _fused(layers)
  keys = [step.stack_key for step in steps]
  cut, begin, start = [], 0, 0
  while start < len(steps):
    period, end = _repeats(keys, start)
    if not period:
      start += 1
      continue
    cut += [Segment(tuple(steps[begin:start])),
            Segment(tuple(steps[start:end]), period)]
    begin = start = end
  cut.append(Segment(tuple(steps[begin:])))
  return [segment for segment in cut if segment.steps]


def _fused(layers):
  """Returns the layers, with one in place of neighbours that can be fused."""
  steps, neighbours = [], []
  for layer in [*layers, None]:
    if neighbours and (layer is None or layer.fuse is None or
                       layer.fuse != neighbours[0].fuse):
      steps.append(neighbours[0].fuse(neighbours) if len(neighbours) > 1 else
                   neighbours[0])
      neighbours = []
    if layer is None:
      break
    (steps if layer.fuse is None else neighbours).append(layer)
  return steps


def _repeats(keys, start):
  """Returns the shortest period from `start` on, and where it ends."""
  for period in range(1, (len(keys) - start) // (MOST_UNROLLED + 1) + 1):
    pattern = keys[start:start + period]
    if None in pattern:
      break
    end = start + period
    while keys[end:end + period] == pattern:
      end += period
    if end - start > MOST_UNROLLED * period:
      return period, end
  return 0, start


class Plan:
  """The parts of a chain. No list, so that `tf.Module` does not look into it.
  """

  def __init__(self, parts):
    self._parts = tuple(parts)

  def __iter__(self):
    return iter(self._parts)
