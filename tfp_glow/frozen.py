"""Work on weights alone, done once where weights no longer change."""

import contextlib
import threading

import tensorflow as tf

_local = threading.local()


@contextlib.contextmanager
def freezing():
  """Within it, graphs read what was made of weights, not the weights.

  Yields:
    variables: `dict` of what was made, by key; it grows as graphs are traced,
      and must live as long as they do.
  """
  before = getattr(_local, 'made', None)
  _local.made = {}
  try:
    yield _local.made
  finally:
    _local.made = before


def is_freezing():
  """Whether `once` keeps what it made."""
  return getattr(_local, 'made', None) is not None


def once(key, make):
  """What `make` gives; within `freezing`, as it was when first asked for.

  Args:
    key: Hashable, another one for each thing that is made. Of a layer it has
      the `id`, since TFP takes alike bijectors for equal.
    make: Function that gives a structure of `Tensor`, made of weights alone.

  Returns:
    made: The structure.
  """
  if not is_freezing():
    return make()
  if key not in _local.made:
    with tf.init_scope():
      _local.made[key] = tf.nest.map_structure(
          lambda value: tf.Variable(value, trainable=False), make())
  return tf.nest.map_structure(tf.convert_to_tensor, _local.made[key])
