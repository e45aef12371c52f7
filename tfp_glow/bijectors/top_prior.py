"""The prior of the last level's latent, as a layer that standardises it."""

import tensorflow as tf

from tfp_glow import frozen
from tfp_glow.bijectors import conditioner as conditioner_lib
from tfp_glow.bijectors import flow_bijector


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

  def __init__(self, network=None, class_network=None, num_classes=None,
               dtype=tf.float32, validate_args=False, name='top_prior'):
    """Takes the networks.

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
  def network(self):
    """The network of the learned prior, or `None`."""
    return self._network and self._network.network

  @property
  def class_network(self):
    """The network of the classes, or `None`."""
    return self._class_network and self._class_network.network

  @property
  def condition_names(self):
    names = ['training'] if self._num_classes is None else [
        'label', 'training']
    return frozenset(names)

  def _inverse_and_log_det(self, y, label=None, training=False):
    mean, log_scale = self._mean_and_log_scale(y, label, training)
    x = (y - mean) * tf.exp(-log_scale)
    return x, -_sum_like(log_scale, y)

  def _forward_and_log_det(self, x, label=None, training=False):
    mean, log_scale = self._mean_and_log_scale(x, label, training)
    return mean + tf.exp(log_scale) * x, _sum_like(log_scale, x)

  def _mean_and_log_scale(self, value, label, training):
    total = tf.zeros([1, 1, 2 * value.shape[-1]], self.dtype)
    if self._network is not None:
      total = frozen.once(
          (id(self), *value.shape[-3:]),
          lambda: self._of_all_images(value, training))
    if self._class_network is not None:
      label = self._checked_label(label)
      by_class = self._class_network(
          tf.reshape(label, [-1]), 0, training=training)
      total += tf.reshape(tf.cast(by_class, self.dtype), tf.concat(
          [tf.shape(label), [1, 1, 2 * value.shape[-1]]], axis=0))
    return tf.split(total, 2, axis=-1)

  def _of_all_images(self, value, training):
    """What the network makes of zeros, `[H, W, 2 C]`."""
    height, width, channels = value.shape[-3:]
    event = value.shape[-3:]
    if not event.is_fully_defined():
      event = tf.shape(value)[-3:]
    zeros = tf.zeros([1, event[0], event[1], 2 * channels], self.dtype)
    zeros.set_shape([1, height, width, 2 * channels])
    return self._network(zeros, 3, training=training)[0]

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


def _sum_like(log_scale, value):
  """Sum over events of the shape of `value`, one for each in a batch."""
  ones = tf.ones(tf.shape(value)[-3:], log_scale.dtype)
  return tf.reduce_sum(log_scale * ones, axis=[-3, -2, -1])
