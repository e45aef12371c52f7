"""Seeds that are not given, derived from the one that all of Keras obeys."""

import operator
import random


def given_or_drawn(seed: int | None) -> int:
  """Checks a seed, or draws one that `keras.utils.set_random_seed` decides.

  Args:
    seed: An integer, or `None`: another one at each call, but the same ones
      again after `keras.utils.set_random_seed`.

  Returns:
    seed: An integer.

  Raises:
    TypeError: If `seed` is no integer.
  """
  if seed is None:
    return random.randrange(2**31)
  try:
    return operator.index(seed)
  except TypeError:
    raise TypeError(
        f'`seed` must be an integer or None, got {seed!r}.') from None
