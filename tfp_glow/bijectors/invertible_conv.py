"""Invertible 1x1 convolution, plain and in LU form."""

import numpy as np
import tensorflow as tf

from tfp_glow import seeding
from tfp_glow import tf_internals
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

  weight_names = ('kernel',)

  def __init__(self, channels: int, seed: int | None = None,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'invertible_conv'):
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

  def inverse_map(self, kernel):
    log_det = log_abs_det(tf.cast(kernel, tf.float64))
    return kernel, tf.zeros_like(kernel[..., 0]), tf.cast(
        log_det, kernel.dtype)

  def forward_map(self, kernel):
    in_float64 = tf.cast(kernel, tf.float64)
    factors = tf.linalg.qr(in_float64)
    inverse = tf.cast(_inverse(in_float64, factors), kernel.dtype)
    return inverse, tf.zeros_like(kernel[..., 0]), tf.cast(
        -log_abs_det(in_float64, factors), kernel.dtype)


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

  weight_names = ('permutation', 'sign', 'log_s', 'lower', 'upper')

  def __init__(self, channels: int, seed: int | None = None,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'invertible_conv_lu'):
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
      lower = tf.linalg.band_part(lu, -1, 0) - tf.linalg.diag(diagonal)
      upper = tf.linalg.band_part(lu, 0, -1) - tf.linalg.diag(diagonal)
    self.permutation = tf.Variable(
        tf.cast(permutation, dtype), trainable=False, name='permutation')
    self.sign = tf.Variable(
        tf.cast(tf.sign(diagonal), dtype), trainable=False, name='sign')
    self.log_s = tf.Variable(
        tf.cast(tf.math.log(tf.abs(diagonal)), dtype), name='log_s')
    self.lower = tf.Variable(tf.cast(lower, dtype), name='lower')
    self.upper = tf.Variable(tf.cast(upper, dtype), name='upper')

  def inverse_map(self, permutation, sign, log_s, lower, upper):
    lower, upper = _factors(sign, log_s, lower, upper)
    return (permutation @ lower @ upper, tf.zeros_like(sign),
            tf.reduce_sum(log_s, axis=-1))

  def forward_map(self, *weights):
    permutation, *factors = [tf.cast(w, tf.float64) for w in weights]
    lower, upper = _factors(*factors)
    inverse = tf.linalg.triangular_solve(
        lower, tf.linalg.matrix_transpose(permutation))
    inverse = tf.linalg.triangular_solve(upper, inverse, lower=False)
    _, sign, log_s, _, _ = weights
    return (tf.cast(inverse, sign.dtype), tf.zeros_like(sign),
            -tf.reduce_sum(log_s, axis=-1))


def random_rotation(channels, seed=None):
  """A random orthogonal matrix `[channels, channels]`, float64."""
  generator = np.random.default_rng(seeding.not_negative(seed))
  noise = generator.standard_normal((channels, channels))
  return np.linalg.qr(noise)[0]


def log_abs_det(matrix, factors=None):
  """Returns `log |det matrix|`, `[...]`, by QR.

  Args:
    matrix: `Tensor` `[..., C, C]`.
    factors: Its `q` and `r`, where they have been computed. Default value:
      `None`.
  """
  q, r = tf.linalg.qr(matrix) if factors is None else factors

  def compute():
    diagonal = tf.linalg.diag_part(r)
    return [tf.reduce_sum(tf.math.log(tf.abs(diagonal)), axis=-1)]

  def vjp(_, __, gradients):
    transposed = tf.linalg.matrix_transpose(_inverse(matrix, (q, r)))
    return [gradients[0][..., None, None] * transposed], []

  return tf_internals.with_gradient(compute, [matrix], vjp)[0]


def _inverse(matrix, factors):
  """Returns the inverse of matrices `[..., C, C]`, of their `q` and `r`."""
  q, r = factors

  def compute():
    return [tf.linalg.triangular_solve(
        r, tf.linalg.matrix_transpose(q), lower=False)]

  def vjp(_, outputs, gradients):
    transposed = tf.linalg.matrix_transpose(outputs[0])
    return [-transposed @ gradients[0] @ transposed], []

  return tf_internals.with_gradient(compute, [matrix], vjp)[0]


def _factors(sign, log_s, lower, upper):
  """`L` and `U` of matrices `[..., C, C]`."""
  ones = tf.ones_like(sign)
  lower = tf.linalg.set_diag(tf.linalg.band_part(lower, -1, 0), ones)
  upper = tf.linalg.set_diag(
      tf.linalg.band_part(upper, 0, -1), sign * tf.exp(log_s))
  return lower, upper
