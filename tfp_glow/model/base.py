"""The base distribution of a model's latents."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class StandardNormal(tfd.Sample):
  """Sample of a standard normal, the same numbers on every device."""

  @classmethod
  def _parameter_properties(cls, dtype, num_classes=None):
    # Otherwise TFP complains that a subclass has none of its own.
    return super()._parameter_properties(dtype, num_classes)

  def _sample_n(self, n, seed=None):
    return tf.random.stateless_normal(
        [n, *self.event_shape], tfp.random.sanitize_seed(seed),
        dtype=self.dtype, alg='philox')


def over_latents(base: tfd.Distribution | None, num_dims: int,
                 dtype: tf.DType) -> tfd.Distribution:
  """Makes a distribution over flat latents of what a user gives.

  Args:
    base: `tfd.Distribution` over `[D]`, over scalars, or a batch `[D]` of
      distributions over scalars; or `None`, the standard normal.
    num_dims: `D`.
    dtype: Floating point type of the flow.

  Returns:
    base: `tfd.Distribution` over `[D]`, without batch dimensions.

  Raises:
    TypeError: If `base` is no distribution, or has another dtype.
    ValueError: If its shape is another.
  """
  if base is None:
    normal = tfd.Normal(tf.zeros([], dtype), tf.ones([], dtype))
    return StandardNormal(normal, sample_shape=[num_dims])
  if not isinstance(base, tfd.Distribution):
    raise TypeError(f'`base` must be a tfd.Distribution, got {base!r}.')
  if base.dtype != dtype:
    raise TypeError(
        f'`base` has dtype {tf.as_dtype(base.dtype).name}, but the flow has '
        f'{dtype.name}.')
  shapes = (tuple(base.batch_shape), tuple(base.event_shape))
  if shapes == ((), ()):
    return tfd.Sample(base, sample_shape=[num_dims])
  if shapes == ((num_dims,), ()):
    return tfd.Independent(base, reinterpreted_batch_ndims=1)
  if shapes == ((), (num_dims,)):
    return base
  raise ValueError(
      f'`base` has the batch shape {shapes[0]} and the event shape '
      f'{shapes[1]}, but a distribution over latents ({num_dims},), or over '
      'scalars, is needed.')


def mean(base: tfd.Distribution) -> tf.Tensor | None:
  """Mean of a base distribution, `[D]`, or `None` where it has none."""
  try:
    value = base.mean()
  except NotImplementedError:
    return None
  if tf.executing_eagerly() and not np.all(np.isfinite(value)):
    return None
  return value


def tempered(base: tfd.Distribution, latents: tf.Tensor,
             temperature: Any) -> tf.Tensor:
  """Samples of a base distribution, moved to another temperature.

  ```none
  mean + temperature (latent - mean)
  ```

  Args:
    base: Distribution over `[D]`.
    latents: `[N, D]`, samples of it.
    temperature: Array or `Tensor` that broadcasts to `[N, D]`.

  Returns:
    latents: `[N, D]`.

  Raises:
    ValueError: If the base has no mean, and a temperature is not 1.
  """
  center = mean(base)
  if center is None:
    if not tf.is_tensor(temperature) and np.all(temperature == 1.):
      return latents
    raise ValueError(
        f'`temperature` must be 1: the base, {base.name}, has no mean about '
        'which latents could be scaled.')
  return center + temperature * (latents - center)


def get_config(base: tfd.Distribution) -> dict[str, Any] | None:
  """Describes a base distribution for a `.keras` file.

  Args:
    base: Distribution of `tfp.distributions`, or the standard normal.

  Returns:
    config: What `from_config` takes; `None` for the standard normal.

  Raises:
    TypeError: If it is of another class, or has a parameter that is neither a
      number, an array, a variable nor such a distribution.
  """
  if isinstance(base, StandardNormal):
    return None
  name = type(base).__name__
  if getattr(tfd, name, None) is not type(base):
    raise TypeError(_refusal(name, 'it is not of `tfp.distributions`'))
  return {'distribution': name, 'parameters': {
      key: _value_config(name, key, value)
      for key, value in base.parameters.items() if value is not None}}


def from_config(config: dict[str, Any] | None) -> tfd.Distribution | None:
  """Makes the distribution that `get_config` described."""
  if config is None:
    return None
  return getattr(tfd, config['distribution'])(**{
      key: _value_from_config(value)
      for key, value in config['parameters'].items()})


def _value_config(name, key, value):
  if isinstance(value, (bool, int, float, str)):
    return value
  if isinstance(value, (list, tuple)) and all(
      isinstance(n, int) for n in value):
    return list(value)
  if isinstance(value, tfd.Distribution):
    return get_config(value)
  if isinstance(value, (tf.Tensor, tf.Variable, np.ndarray)):
    array = np.asarray(value)
    return {'array': array.tolist(), 'dtype': array.dtype.name,
            'trainable': getattr(value, 'trainable', None)}
  raise TypeError(_refusal(
      name, f'its `{key}` is a {type(value).__name__}'))


def _value_from_config(value):
  if not isinstance(value, dict):
    return value
  if 'distribution' in value:
    return from_config(value)
  array = np.array(value['array'], value['dtype'])
  if value['trainable'] is None:
    return tf.constant(array)
  return tf.Variable(array, trainable=value['trainable'])


def _refusal(name, why):
  return (f'A FlowModel with the base {name} cannot be written as a `.keras` '
          f'file, because {why}: save its weights, `model.save_weights(path)`.')
