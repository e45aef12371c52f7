"""Invertible 1x1 convolution, plain and in LU form."""

import numpy as np
import tensorflow as tf

from tfp_glow.bijectors import channel_affine


class InvertibleConv(channel_affine.ChannelAffine):
  """Mixes the channels of every pixel by one learned matrix.

  ```none
  inverse:  x = y W
  forward:  y = x W^-1
  log |det dx/dy| = H W log |det W|
  ```

  Inverse and determinant are computed in float64, by one QR decomposition,
  which XLA compiles on every device (`slogdet` it does not). TFP's
  `ScaleMatvecLU` has only the LU form.

  #### Examples

  >>> conv = InvertibleConv(4, seed=0)
  >>> y = tf.random.stateless_normal([2, 8, 8, 4], [0, 0])
  >>> x, log_det = conv.inverse_and_log_det(y)  # a rotation: log_det is 0
  >>> bool(tf.reduce_max(tf.abs(log_det)) < 1e-3)
  True
  >>> bool(tf.reduce_max(tf.abs(conv.forward(x) - y)) < 1e-5)
  True

  #### References

  [1]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
       Convolutions. 2018. Section 3.2, equation 9.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, channels, seed=None, dtype=tf.float32,
               validate_args=False, name='invertible_conv'):
    """Starts from a random rotation.

    Args:
      channels: Python `int`, number of channels `C`.
      seed: Python `int` or `None`, of the rotation. Default value: `None`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'invertible_conv'`.

    Raises:
      ValueError: If `channels` is not a positive integer.
    """
    super().__init__(channels, dtype, validate_args, name)
    self.kernel = tf.Variable(
        random_rotation(channels, seed), dtype=dtype, name='kernel')

  def inverse_affine(self):
    return tf.identity(self.kernel), tf.zeros([self.channels], self.dtype)

  def forward_affine(self):
    inverse = _inverse(tf.cast(self.kernel, tf.float64))
    return (tf.cast(inverse, self.dtype),
            tf.zeros([self.channels], self.dtype))

  def log_det_per_pixel(self):
    return tf.cast(
        log_abs_det(tf.cast(self.kernel, tf.float64)), self.dtype)


class InvertibleConvLU(channel_affine.ChannelAffine):
  """Mixes the channels of every pixel by a matrix kept in LU form.

  ```none
  W = P (strictly_lower(L) + I) (strictly_upper(U) + diag(sign exp(log_s)))
  inverse:  x = y W
  forward:  y = x W^-1             (two triangular solves)
  log |det dx/dy| = H W sum(log_s)
  ```

  `P` and `sign` are fixed. TFP's `ScaleMatvecLU` packs `L` and `U` into one
  matrix and learns the diagonal itself, not its logarithm.

  #### Examples

  >>> conv = InvertibleConvLU(4, seed=0)
  >>> len(conv.trainable_variables), len(conv.variables)
  (3, 5)

  #### References

  [1]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
       Convolutions. 2018. Section 3.2, equations 10 and 11.
       https://arxiv.org/abs/1807.03039
  """

  def __init__(self, channels, seed=None, dtype=tf.float32,
               validate_args=False, name='invertible_conv_lu'):
    """Starts from the LU decomposition of a random rotation.

    Args:
      channels: Python `int`, number of channels `C`.
      seed: Python `int` or `None`, of the rotation. Default value: `None`.
      dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'invertible_conv_lu'`.

    Raises:
      ValueError: If `channels` is not a positive integer.
    """
    super().__init__(channels, dtype, validate_args, name)
    with tf.init_scope():
      lu, rows = tf.linalg.lu(random_rotation(channels, seed))
      diagonal = tf.linalg.diag_part(lu)
      permutation = tf.one_hot(rows, channels, axis=0, dtype=lu.dtype)
    self.permutation = tf.Variable(
        tf.cast(permutation, dtype), trainable=False, name='permutation')
    self.sign = tf.Variable(
        tf.cast(tf.sign(diagonal), dtype), trainable=False, name='sign')
    self.log_s = tf.Variable(
        tf.cast(tf.math.log(tf.abs(diagonal)), dtype), name='log_s')
    self.lower = tf.Variable(
        tf.cast(_strictly_lower(lu), dtype), name='lower')
    self.upper = tf.Variable(
        tf.cast(_strictly_upper(lu), dtype), name='upper')

  def inverse_affine(self):
    lower, upper = self._factors(self.dtype)
    kernel = tf.convert_to_tensor(self.permutation) @ lower @ upper
    return kernel, tf.zeros([self.channels], self.dtype)

  def forward_affine(self):
    lower, upper = self._factors(tf.float64)
    inverse = tf.linalg.triangular_solve(
        lower, tf.cast(tf.transpose(self.permutation), tf.float64))
    inverse = tf.linalg.triangular_solve(upper, inverse, lower=False)
    return (tf.cast(inverse, self.dtype),
            tf.zeros([self.channels], self.dtype))

  def log_det_per_pixel(self):
    return tf.reduce_sum(self.log_s)

  def _factors(self, dtype):
    identity = tf.eye(self.channels, dtype=dtype)
    lower = _strictly_lower(tf.cast(self.lower, dtype)) + identity
    diagonal = tf.cast(self.sign, dtype) * tf.exp(tf.cast(self.log_s, dtype))
    upper = (_strictly_upper(tf.cast(self.upper, dtype)) +
             tf.linalg.diag(diagonal))
    return lower, upper


def random_rotation(channels, seed=None):
  """A random orthogonal matrix `[channels, channels]`, float64."""
  noise = np.random.default_rng(seed).standard_normal((channels, channels))
  return np.linalg.qr(noise)[0]


def log_abs_det(matrix):
  """`log |det matrix|`, `[]`, by QR."""
  _, r = tf.linalg.qr(matrix)
  return tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(r))))


def _inverse(matrix):
  q, r = tf.linalg.qr(matrix)
  return tf.linalg.triangular_solve(r, tf.transpose(q), lower=False)


def _strictly_lower(matrix):
  return tf.linalg.set_diag(
      tf.linalg.band_part(matrix, -1, 0), tf.zeros_like(matrix[0]))


def _strictly_upper(matrix):
  return tf.linalg.set_diag(
      tf.linalg.band_part(matrix, 0, -1), tf.zeros_like(matrix[0]))
