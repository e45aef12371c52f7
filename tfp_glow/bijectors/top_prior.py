"""The prior of the last level's latent, as a layer that standardises it."""

from collections.abc import Callable

import tensorflow as tf

from tfp_glow import execution
from tfp_glow.bijectors import conditioner as conditioner_lib
from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import gaussian


class TopPrior(flow_bijector.FlowBijector):
  """Standardises the top latent under a Gaussian, learned or class by class.

  ```none
  mean, log_scale = halves of network(0) + class_network(label)
  inverse:  x = (y - mean) * exp(-log_scale)
  forward:  y = mean + exp(log_scale) * x
  log |det dx/dy| = -sum log_scale
  ```

  With neither network the prior is a standard normal and the layer the
  identity. `tfd.TransformedDistribution` over a learned base does the same,
  but then latents are not standardised, and temperature is no factor.

  #### Examples

  >>> prior = TopPrior(class_network=lambda label: tf.zeros([1, 4]) + 1.,
  ...                  num_classes=10)
  >>> prior.inverse(tf.ones([1, 4, 4, 2]), label=[3]).shape
  TensorShape([1, 4, 4, 2])

  #### References

  [1]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
       Convolutions. 2018. Appendix B and the program of its authors.
       https://arxiv.org/abs/1807.03039
  """

  # The network sees zeros: what it makes of them is the same for all images.
  prepares_for_event = True

  def __init__(self, network: Callable[..., tf.Tensor] | None = None,
               class_network: Callable[..., tf.Tensor] | None = None,
               num_classes: int | None = None, dtype: tf.DType = tf.float32,
               validate_args: bool = False, name: str = 'top_prior'):
    """Makes a prior of networks.

    Args:
      network: Callable from zeros `[1, H, W, 2C]` to `[1, H, W, 2C]`: means
        first, then log-scales. Default value: `None`, zeros.
      class_network: Callable from labels, `int32` `[N]`, to `[N, 2C]`, added
        to those. Default value: `None`, no classes.
      num_classes: Python `int`, number of classes, with `class_network`.
        Default value: `None`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'top_prior'`.

    Raises:
      ValueError: If only one of `class_network` and `num_classes` is given.
    """
    if (class_network is None) != (num_classes is None):
      raise ValueError(
          '`class_network` and `num_classes` belong together, got '
          f'{class_network!r} and {num_classes!r}.')
    super().__init__(dtype=dtype, validate_args=validate_args, name=name)
    self._num_classes = num_classes
    self._network = (
        None if network is None else conditioner_lib.Conditioner(network))
    self._class_network = (
        None if class_network is None else
        conditioner_lib.Conditioner(class_network))

  @property
  def num_classes(self) -> int | None:
    """Number of classes, or `None`."""
    return self._num_classes

  @property
  def is_built(self):
    return all(network.is_built for network in (
        self._network, self._class_network) if network is not None)

  @property
  def may_close_over(self):
    return any(network.may_close_over for network in (
        self._network, self._class_network) if network is not None)

  @property
  def network(self):
    """The network of the learned prior, or `None`."""
    return self._network and self._network.network

  @property
  def class_network(self):
    """The network of the classes, or `None`."""
    return self._class_network and self._class_network.network

  @property
  def condition_names(self):
    return frozenset([] if self._num_classes is None else ['label'])

  @property
  def weights(self):
    return self._network.weights if self._network else ()

  def prepare(self, weights, inverse, event_shape=None):
    del inverse
    if not weights:
      return ()
    height, width, channels = event_shape
    zeros = tf.zeros([1, height, width, 2 * channels], self.dtype)
    prepared = self._network.prepare(
        weights, (height, width, 2 * channels))
    return self._network(zeros, 3, prepared=prepared)[0]

  def apply(self, value, prepared, inverse, context):
    mean, log_scale = self._mean_and_log_scale(value, prepared, context)
    map_value = gaussian.standardise if inverse else gaussian.restore
    return map_value(value, mean, log_scale)

  def _mean_and_log_scale(self, value, prepared, context):
    total = tf.zeros([1, 1, 2 * value.shape[-1]], self.dtype)
    if not isinstance(prepared, tuple):
      total = prepared
    elif self._network is not None:
      height, width, channels = execution.event_shape(value, 3)
      zeros = tf.zeros([1, height, width, 2 * channels], self.dtype)
      zeros.set_shape([1, *value.shape[-3:-1], 2 * channels])
      total = self._network(zeros, 3, context=context)[0]
    if self._class_network is not None:
      label = self._checked_label(context.conditions.get('label'))
      by_class = self._class_network(
          tf.reshape(label, [-1]), 0, context=context)
      total += tf.reshape(tf.cast(by_class, self.dtype), tf.concat(
          [tf.shape(label), [1, 1, 2 * value.shape[-1]]], axis=0))
    return tf.split(total, 2, axis=-1)

  def _checked_label(self, label):
    if label is None:
      raise TypeError(
          f'{self.name} is class-conditional and needs `label=`, int32, one '
          'for each image.')
    label = tf.convert_to_tensor(label)
    if not label.dtype.is_integer:
      raise TypeError(
          f'`label` has dtype {label.dtype.name}, but integers are needed.')
    if self.validate_args or tf.executing_eagerly():
      in_range = tf.reduce_all((label >= 0) & (label < self._num_classes))
      tf.debugging.assert_equal(in_range, True, (
          f'`label` must be in 0 .. {self._num_classes - 1}, but a value is '
          f'out of range: {label if tf.executing_eagerly() else ""}'))
    return tf.cast(label, tf.int32)

