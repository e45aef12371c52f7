"""Base of the three flows: flat latents, part by part."""

from collections.abc import Sequence
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import seeding
from tfp_glow.bijectors import chain


class MultiscaleFlow(chain.Chain):
  """A chain from one flat latent to the data.

  A flat latent `[..., D]` is the concatenation of each level's standardised
  latent, flattened: the first level's first, the top one's last.
  """

  def __init__(self, bijectors, latent_shapes, config, validate_args, name):
    super().__init__(bijectors, config.get('memory', 'store'),
                     validate_args=validate_args, name=name)
    self._latent_shapes = self._no_dependency(tuple(latent_shapes))
    self._config = self._no_dependency(dict(config))

  @property
  def condition_names(self):
    needed = set(self.condition_shapes)
    return super().condition_names - {'feature_map', 'context'} | needed

  @property
  def preprocessing(self) -> str:
    """Python `str`: the preprocessing of pixels that the flow was made for."""
    return 'centered'

  @property
  def condition_shapes(self) -> dict[str, tuple[int, ...]]:
    """`dict` of event shapes of conditions that no call can do without."""
    channels = self._config.get('feature_map_channels')
    size = self._config.get('context_size')
    shapes = {}
    if channels is not None:
      shapes['feature_map'] = (*self._config['image_shape'][:2], channels)
    if size is not None:
      shapes['context'] = (size,)
    return shapes

  @property
  def latent_shapes(self) -> list[tuple[int, ...]]:
    """Shapes of the levels' latents, the first level first."""
    return list(self._latent_shapes)

  def split_latent(self, z: Any) -> list[tf.Tensor]:
    """Splits a flat latent.

    Args:
      z: `Tensor` `[..., D]`.

    Returns:
      parts: List of `Tensor` `[..., *shape]`, for each of `latent_shapes`.

    Raises:
      ValueError: If the last axis of `z` has another size.
    """
    z = tf.convert_to_tensor(z, dtype_hint=self.dtype)
    sizes = [math.prod(shape) for shape in self._latent_shapes]
    if z.shape.rank == 0 or z.shape[-1] != sum(sizes):
      raise ValueError(
          f'`z` has shape {z.shape}, but a last axis of {sum(sizes)} is '
          f'needed: {" + ".join(str(s) for s in sizes)}.')
    return [tf.reshape(part, tf.concat([tf.shape(z)[:-1], shape], axis=0))
            for part, shape in zip(tf.split(z, sizes, axis=-1),
                                   self._latent_shapes)]

  def join_latent(self, parts: Sequence[Any]) -> tf.Tensor:
    """Puts a flat latent together.

    Args:
      parts: List of `Tensor` `[..., *shape]`, for each of `latent_shapes`.

    Returns:
      z: `Tensor` `[..., D]`.

    Raises:
      ValueError: If there are more or fewer parts, or of other shapes.
    """
    parts = [tf.convert_to_tensor(p, dtype_hint=self.dtype) for p in parts]
    given = [tuple(p.shape[p.shape.rank - len(s):])
             for p, s in zip(parts, self._latent_shapes)]
    if len(parts) != len(self._latent_shapes) or (
        given != list(self._latent_shapes)):
      raise ValueError(
          f'`parts` must have the shapes {self.latent_shapes} after any batch '
          f'dimensions, got {[tuple(p.shape) for p in parts]}.')
    return tf.concat(
        [tf.reshape(p, tf.concat(
            [tf.shape(p)[:p.shape.rank - len(s)], [math.prod(s)]], axis=0))
         for p, s in zip(parts, self._latent_shapes)], axis=-1)

  def _checked(self, value, argument, event_ndims, conditions):
    value = super()._checked(value, argument, event_ndims, conditions)
    needed = self._data_shape() if argument == 'y' else self._latent_shape()
    if not value.shape[-len(needed):].is_compatible_with(needed):
      raise ValueError(
          f'`{argument}` of {self.name} has shape {value.shape}, but '
          f'[..., {", ".join(str(n) for n in needed)}] is needed.')
    if value.shape.rank is not None:
      # The same tensor still, which TFP's cache knows again.
      value.set_shape([*value.shape[:value.shape.rank - len(needed)], *needed])
    for name, shape in self.condition_shapes.items():
      if conditions.get(name) is None:
        raise TypeError(
            f'{self.name} was built for a condition and needs `{name}=`, '
            f'[..., {", ".join(str(n) for n in shape)}].')
      given = tf.convert_to_tensor(
          conditions[name], dtype_hint=self.dtype).shape
      if len(given) < len(shape) or (
          not tf.TensorShape(given[len(given) - len(shape):])
          .is_compatible_with(shape)):
        raise ValueError(
            f'`{name}` of {self.name} has shape {tuple(given)}, but '
            f'[..., {", ".join(str(n) for n in shape)}] is needed.')
    return value

  def _inverse_event_shape(self, shape):
    return _with_event(shape, self._data_shape(), self._latent_shape())

  def _forward_event_shape(self, shape):
    return _with_event(shape, self._latent_shape(), self._data_shape())

  def _latent_shape(self):
    """Returns `(D,)`."""
    return (sum(math.prod(shape) for shape in self._latent_shapes),)

  def _data_shape(self):
    """Returns `(H, W, C)`, or `(D,)` where the data are vectors."""
    return tuple(self._config.get('image_shape', self._latent_shape()))

  def get_config(self):
    """The constructor's arguments, for Keras to save."""
    return dict(self._config)

  @classmethod
  def from_config(cls, config):
    """Builds the system from what `get_config` gave."""
    return cls(**config)


def _with_event(shape, before, after):
  """Returns a shape whose event is `after` in place of `before`, or raises."""
  shape = tf.TensorShape(shape)
  if shape.rank is None:
    return shape
  batch_ndims = shape.rank - len(before)
  if batch_ndims < 0 or not shape[batch_ndims:].is_compatible_with(before):
    raise ValueError(
        f'An event of shape [..., {", ".join(str(n) for n in before)}] is '
        f'needed, got the shape {shape}.')
  return shape[:batch_ndims].concatenate(after)


def config_of(arguments):
  """Returns a constructor's arguments, of its `locals()`, for Keras to save."""
  config = {k: v for k, v in arguments.items()
            if k not in ('self', '__class__')}
  return {**config, 'dtype': tf.as_dtype(config['dtype']).name}


def condition_shapes(config, shape, squeezes):
  """Returns the shapes of the conditions that a coupling's network sees.

  Args:
    config: Arguments of the flow.
    shape: `(h, w, c)`, of the image that the coupling sees.
    squeezes: Python `int`, how often image and feature map were squeezed.
  """
  shapes = []
  if config['feature_map_channels'] is not None:
    shapes.append((None, *shape[:2],
                   config['feature_map_channels'] * 4**squeezes))
  if config['context_size'] is not None:
    shapes.append((None, config['context_size']))
  return shapes


def checked_image_shape(image_shape, halvings, argument, value):
  """Checks that an image can be halved as often as a flow does.

  Args:
    image_shape: `(H, W, C)`.
    halvings: Python `int`, how often both sides are halved.
    argument: Python `str`, the argument that says how often.
    value: Python `int`, what it is.

  Returns:
    image_shape: `(H, W, C)` as `int`s.

  Raises:
    ValueError: If it is no shape, or does not divide.
  """
  try:
    height, width, channels = (int(n) for n in image_shape)
  except (TypeError, ValueError) as error:
    raise ValueError(
        f'`image_shape` must be three integers (H, W, C), got '
        f'{image_shape!r}.') from error
  if min(height, width, channels) < 1:
    raise ValueError(
        f'`image_shape` must be positive, got {(height, width, channels)}.')
  factor = 2**halvings
  for side, size in (('height', height), ('width', width)):
    if size % factor:
      raise ValueError(
          f'`image_shape` has {side} {size}, but a multiple of {factor} is '
          f'needed: with `{argument}={value}` it is halved {halvings} times. '
          + _what_fits(height, width, halvings, argument, value))
  return height, width, channels


def _what_fits(height, width, halvings, argument, value):
  """What to change so that an image can be halved so often."""
  missing = [-size % 2**halvings for size in (height, width)]
  padded = f'Images of {height + missing[0]}x{width + missing[1]} would fit'
  if missing[0] == missing[1] and missing[0] % 2 == 0:
    padded += f' (in a recipe, `data.pad={missing[0] // 2}`)'
  common = math.gcd(height, width)
  possible = (common & -common).bit_length() - 1
  fitting = value - halvings + possible
  if fitting < 1:
    return f'{padded}.'
  return f'{padded}, or `{argument}={fitting}`.'


def checked_positive(**sizes):
  """Raises unless every keyword argument is a positive integer."""
  for name, size in sizes.items():
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
      raise ValueError(f'`{name}` must be a positive integer, got {size!r}.')


def seeds(seed):
  """Endless independent seeds, the same for the same `seed`.

  Without one, `keras.utils.set_random_seed` decides them.
  """
  generator = np.random.default_rng(seeding.not_negative(seed))
  while True:
    yield int(generator.integers(2**31))


def network_policy(dtype):
  """Keras's global policy if its variables are of `dtype`, else `dtype`."""
  policy = keras.config.dtype_policy()
  return policy if policy.variable_dtype == dtype.name else dtype.name
