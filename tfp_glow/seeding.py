"""Seeds that are not given, derived from the one that all of Keras obeys."""

import operator
import random

import tensorflow as tf


def given_or_drawn(seed: int | tf.Tensor | None) -> int | tf.Tensor:
  """Checks a seed, or draws one that `keras.utils.set_random_seed` decides.

  Args:
    seed: An integer, of Python or a tensor, or `None`: another one at each
      call, but the same ones again after `keras.utils.set_random_seed`.

  Returns:
    seed: An integer.

  Raises:
    TypeError: If `seed` is no integer.
    ValueError: If it has more than 64 bits.
  """
  if seed is None:
    return random.randrange(2**31)
  if tf.is_tensor(seed) and seed.dtype.is_integer:
    return seed
  try:
    number = operator.index(seed)
  except TypeError:
    raise TypeError(
        f'`seed` must be an integer or None, got {seed!r}.') from None
  if not -2**63 <= number < 2**63:
    raise ValueError(f'`seed` must have at most 64 bits, got {seed}.')
  return number


def not_negative(seed: int | tf.Tensor | None) -> int | tf.Tensor:
  """Checks or draws a seed, as `given_or_drawn`, for NumPy's generators.

  Args:
    seed: An integer that is not negative, or `None`.

  Returns:
    seed: An integer that is not negative.

  Raises:
    TypeError: If `seed` is no integer.
    ValueError: If it is negative, or has more than 64 bits.
  """
  seed = given_or_drawn(seed)
  if seed < 0:
    raise ValueError(f'`seed` must not be negative, got {seed}.')
  return seed
