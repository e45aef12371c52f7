"""Composition of a flow with what lies between it and images."""

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.bijectors import chain
from tfp_glow.model import pixels as pixels_lib

tfb = tfp.bijectors

# `tfb.Chain(...)` of members like ours is of a class above `tfb.Chain`.
_FOREIGN_CHAINS = tuple(
    c for c in tfb.Chain.__mro__ if c.__name__.endswith('Chain'))


def dtype_of(flow: tfb.Bijector, dtype: Any) -> tf.DType:
  """Precision of a flow, which is that of its model."""
  if not isinstance(flow, tfb.Bijector):
    raise TypeError(
        f'`flow` must be a bijector, tfp_glow.Glow(...), say, got {flow!r}.')
  own = tf.as_dtype(flow.dtype or tf.float32)
  if dtype is not None and getattr(dtype, 'name', dtype) != own.name:
    raise ValueError(
        f'`dtype` is {dtype!r}, but the flow computes in {own.name}, and its '
        'model does as the flow.')
  return own


def image_shape_of(
    flow: tfb.Bijector,
    image_shape: tuple[int, int, int] | None) -> tuple[int, int, int]:
  """Shape of a flow's images, of what it tells and what a user gives."""
  known = getattr(flow, 'image_shape', None)
  if image_shape is None:
    image_shape = known
  if image_shape is None:
    raise ValueError(
        f'`image_shape` is needed, (H, W, C): {type(flow).__name__} does not '
        'tell it.')
  image_shape = tuple(int(n) for n in image_shape)
  if known is not None and image_shape != tuple(known):
    raise ValueError(
        f'`image_shape` is {image_shape}, but the flow is for {tuple(known)}.')
  size = math.prod(image_shape)
  event_size = getattr(flow, 'event_size', size)
  if event_size != size:
    raise ValueError(
        f'`image_shape` {image_shape} has {size} values, but the flow is for '
        f'{event_size}.')
  return image_shape


def to_images(flow: tfb.Bijector, pixels: pixels_lib.Pixels) -> chain.Chain:
  """Puts what is missing between flat latents and images around a flow.

  Args:
    flow: From latents `[D]` or of another shape to images, or vectors `[D]`.
    pixels: Pixels of the images.

  Returns:
    bijector: From flat latents to dequantised images.

  Raises:
    ValueError: If latents have more or fewer values than images.
  """
  members, size = [*pixels.bijectors(), _own_chain(flow)], pixels.num_dims
  shape = pixels.image_shape
  if flow.inverse_min_event_ndims <= 1:
    shape = (size,)
    members.insert(-1, tfb.Reshape(
        event_shape_out=pixels.image_shape, event_shape_in=shape))
  latent_shape = flow.inverse_event_shape(tf.TensorShape(shape))
  if latent_shape.num_elements() != size:
    raise ValueError(
        f'`flow` has latents of shape {latent_shape} for images of shape '
        f'{pixels.image_shape}, but {size} values are needed.')
  if latent_shape.rank != 1:
    members.append(tfb.Reshape(
        event_shape_out=tuple(latent_shape), event_shape_in=(size,)))
  return chain.Chain(members, name='to_images')


def _own_chain(bijector):
  """A `tfb.Chain` as our own, which initialises and conditions its members."""
  if not isinstance(bijector, _FOREIGN_CHAINS):
    return bijector
  return chain.Chain([_own_chain(member) for member in bijector.bijectors])


def not_reached(bijector: tfb.Bijector) -> str:
  """Name of a layer that data-dependent initialisation does not reach."""
  return next(module.name for module in bijector.submodules
              if not getattr(module, 'is_initialized', True))
