"""Which half of an event a coupling keeps, and which it changes.

`split(y)` gives `(kept, changed)`; `merge(kept, changed)` puts them together
again. Each may have places that belong to the other (a checkerboard keeps the
image's shape): `only_changed(values)` puts zeros there for values of `changed`,
`only_kept(values)` for those of `kept`.
"""

import tensorflow as tf


class ChannelHalves:
  """Keeps the first or the second half of the last axis.

  #### Examples

  >>> kept, changed = ChannelHalves().split(tf.constant([[1., 2., 3., 4.]]))
  >>> kept.numpy(), changed.numpy()
  (array([[1., 2.]], dtype=float32), array([[3., 4.]], dtype=float32))
  """

  def __init__(self, kept: str = 'first'):
    """Chooses the half that is kept.

    Args:
      kept: Python `str`, `'first'` or `'second'`. Default value: `'first'`.

    Raises:
      ValueError: If `kept` is neither.
    """
    self.kept = _one_of('kept', kept, ('first', 'second'))

  def split(self, y):
    size = y.shape[-1]
    if size % 2:
      raise ValueError(
          f'A split into channel halves needs an even number of channels, '
          f'got `y` with {size}, of shape {y.shape}.')
    first, second = tf.split(y, 2, axis=-1)
    return (first, second) if self.kept == 'first' else (second, first)

  def merge(self, kept, changed):
    parts = [kept, changed] if self.kept == 'first' else [changed, kept]
    return tf.concat(parts, axis=-1)

  def only_changed(self, values):
    return values

  def only_kept(self, values):
    return values

  def num_changed(self, channels):
    return channels // 2

  def kept_shape(self, shape):
    return (*shape[:-1], shape[-1] // 2)


class EvenOdd:
  """Keeps the even or the odd components of the last axis, as NICE does.

  #### Examples

  >>> kept, changed = EvenOdd().split(tf.constant([[1., 2., 3., 4.]]))
  >>> kept.numpy(), changed.numpy()
  (array([[1., 3.]], dtype=float32), array([[2., 4.]], dtype=float32))
  """

  def __init__(self, kept: str = 'even'):
    """Chooses the components that are kept.

    Args:
      kept: Python `str`, `'even'` or `'odd'`, counted from zero.
        Default value: `'even'`.

    Raises:
      ValueError: If `kept` is neither.
    """
    self.kept = _one_of('kept', kept, ('even', 'odd'))

  def split(self, y):
    size = y.shape[-1]
    if size % 2:
      raise ValueError(
          'A split into even and odd components needs an even number of '
          f'them, got `y` with {size}, of shape {y.shape}.')
    even, odd = y[..., 0::2], y[..., 1::2]
    return (even, odd) if self.kept == 'even' else (odd, even)

  def merge(self, kept, changed):
    even, odd = (kept, changed) if self.kept == 'even' else (changed, kept)
    shape = tf.concat([tf.shape(even)[:-1], [2 * even.shape[-1]]], axis=0)
    return tf.reshape(tf.stack([even, odd], axis=-1), shape)

  def only_changed(self, values):
    return values

  def only_kept(self, values):
    return values

  def num_changed(self, channels):
    return channels // 2

  def kept_shape(self, shape):
    return (*shape[:-1], shape[-1] // 2)


class Checkerboard:
  """Keeps the pixels where `row + column` is even, or odd.

  Both parts keep the image's shape, with zeros where the other part is.

  #### Examples

  >>> y = tf.reshape(tf.range(4.), [2, 2, 1])
  >>> kept, changed = Checkerboard().split(y)
  >>> kept[..., 0].numpy(), changed[..., 0].numpy()
  (array([[0., 0.],
         [0., 3.]], dtype=float32), array([[0., 1.],
         [2., 0.]], dtype=float32))
  """

  def __init__(self, kept: str = 'even'):
    """Chooses the pixels that are kept.

    Args:
      kept: Python `str`, `'even'` or `'odd'`. Default value: `'even'`.

    Raises:
      ValueError: If `kept` is neither.
    """
    self.kept = _one_of('kept', kept, ('even', 'odd'))

  def split(self, y):
    mask = self.mask(y)
    return y * mask, y * (1. - mask)

  def merge(self, kept, changed):
    return kept + changed

  def only_changed(self, values):
    return values * (1. - self.mask(values))

  def only_kept(self, values):
    return values * self.mask(values)

  def num_changed(self, channels):
    return channels

  def kept_shape(self, shape):
    return tuple(shape)

  def mask(self, y):
    """`[H, W, 1]`, 1 where a pixel is kept and 0 elsewhere."""
    height, width = tf.shape(y)[-3], tf.shape(y)[-2]
    even = (tf.range(height)[:, None] + tf.range(width)[None, :] + 1) % 2
    mask = even if self.kept == 'even' else 1 - even
    return tf.cast(mask[..., None], y.dtype)


def _one_of(argument, value, choices):
  if value not in choices:
    raise ValueError(f'`{argument}` must be one of {choices}, got {value!r}.')
  return value


Mask = ChannelHalves | EvenOdd | Checkerboard
