"""NICE: Dinh, Krueger and Bengio, 2014. https://arxiv.org/abs/1410.8516"""

import keras
import tensorflow as tf

from tfp_glow import networks
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import masks
from tfp_glow.bijectors import scale
from tfp_glow.flows import multiscale_flow


@keras.saving.register_keras_serializable('tfp_glow')
class NICE(multiscale_flow.MultiscaleFlow):
  """NICE: additive couplings, then one scale for each component.

  ```none
  `couplings` times, with even and odd components in turn:
    h_changed = h_changed + network(h_kept)
  x = exp(log_scale) * h
  ```

  `forward` goes from a latent `[..., D]` to data `[..., D]`, `inverse` back.
  The paper's base distribution is logistic or normal, one component at a
  time; its images are vectors of pixels in [0, 1].

  #### Examples

  >>> nice = NICE(6, hidden_layers=1, width=8, seed=0)
  >>> base = tfp.distributions.Sample(
  ...     tfp.distributions.Logistic(0., 1.), sample_shape=[6])
  >>> model = tfp.distributions.TransformedDistribution(base, nice)
  >>> model.log_prob(tf.zeros([5, 6])).shape
  TensorShape([5])

  #### References

  [1]: Dinh, Krueger and Bengio. NICE: Non-linear Independent Components
       Estimation. 2014. Sections 3.2, 3.3 and 5.1.
       https://arxiv.org/abs/1410.8516
  """

  def __init__(self, event_size: int, couplings: int = 4,
               hidden_layers: int = 5, width: int = 1000,
               context_size: int | None = None, seed: int | None = None,
               dtype: tf.DType = tf.float32, validate_args: bool = False,
               name: str = 'nice'):
    """Builds the flow with random weights, near the identity.

    Args:
      event_size: Python `int`, number of components `D`, even.
      couplings: Python `int`, number of couplings; it takes three for each
        component to depend on every other. Default value: `4`.
      hidden_layers: Python `int`, hidden layers of each network.
        Default value: `5`.
      width: Python `int`, units of each hidden layer. Default value: `1000`.
      context_size: Python `int` or `None`. If given, every call takes
        `context=`, `[..., context_size]`, which every coupling sees.
        Default value: `None`.
      seed: Python `int` or `None`, of all random weights. Default value:
        `None`.
      dtype: `tf.float32` or `tf.float64`. The networks have Keras's global
        policy if its variables are of this type, else this type.
        Default value: `tf.float32`.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'nice'`.

    Raises:
      ValueError: If a size is not positive, or `event_size` is odd.
    """
    config = multiscale_flow.config_of(locals())
    multiscale_flow.checked_positive(
        event_size=event_size, couplings=couplings,
        hidden_layers=hidden_layers, width=width)
    if context_size is not None:
      multiscale_flow.checked_positive(context_size=context_size)
    if event_size % 2:
      raise ValueError(
          f'`event_size` is {event_size}, but an even number is needed: half '
          'of the components conditions the other.')

    dtype = tf.as_dtype(dtype)
    policy = multiscale_flow.network_policy(dtype)
    seeds = multiscale_flow.seeds(seed)
    half = event_size // 2
    conditions = [] if context_size is None else [(None, context_size)]

    def additive(kept):
      """One coupling (Section 3.2)."""
      network = networks.DenseNetwork(
          half, width, hidden_layers, seed=next(seeds), dtype=policy)
      network.build((None, half), *conditions)
      return coupling.AdditiveCoupling(
          network, masks.EvenOdd(kept), event_ndims=1, dtype=dtype)

    layers = [additive(('even', 'odd')[k % 2]) for k in range(couplings)]
    layers.append(scale.Scale(event_size, dtype=dtype))
    super().__init__(layers, [(event_size,)], config, validate_args, name)
    self._event_size = event_size

  @property
  def event_size(self):
    """Python `int`, number of components."""
    return self._event_size
