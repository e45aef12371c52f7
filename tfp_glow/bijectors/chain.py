"""Composition of layers."""

import itertools

import tensorflow as tf

from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import run


class Chain(flow_bijector.FlowBijector):
  """Applies bijectors one after the other.

  ```none
  forward:  y = bijectors[0](bijectors[1](... (x)))
  inverse:  x = ... bijectors[1]^-1(bijectors[0]^-1(y))
  log |det dx/dy| = sum of those of the bijectors
  ```

  So the list reads from data to latent, the way the papers write their flows,
  and in the order of `tfb.Chain`. Unlike that one it hands each keyword
  argument to the layers that take it, squeezes a feature map along with the
  image, initialises the layers from data, one by one, and multiplies out the
  matrices of neighbouring per-pixel layers before they touch the image. Any
  `tfb.Bijector` can be a member.

  #### Examples

  >>> flow = Chain([Squeeze(), ActNorm(4), InvertibleConv(4, seed=0)])
  >>> flow.inverse(tf.zeros([2, 8, 8, 1])).shape
  TensorShape([2, 4, 4, 4])

  #### Memory

  With `memory='recompute'` the gradient rebuilds each layer's input from its
  output, so activations are there for one layer at a time ([1]); weights, and
  the graph where it is unrolled, still grow with depth.
  Gradients are those of `'store'` up to rounding, as long as no
  layer is nearly singular ([2]; `ReconstructionCheck` watches). It holds for
  rows of couplings, per-pixel layers and `BatchNorm`, with batch statistics
  too; other members store what they need. A network is evaluated twice, so it
  must give the same again: no dropout, and a `keras.layers.BatchNormalization`
  in training mode would move its averages twice. In a graph that XLA does not
  compile, more than four steps that are alike, as Glow's are, become one loop.
  The tape must be in the same `tf.function` as the flow, as it is in `fit`; to
  a tape outside of it the activations look stored.

  #### References

  [1]: Gomez, Ren, Urtasun and Grosse. The Reversible Residual Network:
       Backpropagation Without Storing Activations. 2017. Algorithm 1.
       https://arxiv.org/abs/1707.04585
  [2]: Behrmann et al. Understanding and Mitigating Exploding Inverses in
       Invertible Neural Networks. 2020. https://arxiv.org/abs/2006.09347
  """

  def __init__(self, bijectors, memory='store', dtype=None,
               validate_args=False, name='chain'):
    """Takes the bijectors, nearest to the data first.

    Args:
      bijectors: List of `tfb.Bijector`, at least one, with one data type.
      memory: Python `str`, what the gradient costs. `'store'` keeps what each
        layer computed; `'recompute'` rebuilds it, layer by layer, from what
        the layers gave. Default value: `'store'`.
      dtype: `tf.float32` or `tf.float64`. Default value: `None`, that of the
        members, or `tf.float32` if none has any.
      validate_args: Python `bool`, whether to check values inside graphs too.
        Default value: `False`.
      name: Python `str`. Default value: `'chain'`.

    Raises:
      ValueError: If there is no bijector, if data types differ, or `memory`
        has no such name.
    """
    if memory not in run.MEMORY:
      raise ValueError(
          f'`memory` must be one of {run.MEMORY}, got {memory!r}.')
    bijectors = list(bijectors)
    if not bijectors:
      raise ValueError('`bijectors` is empty: at least one is needed.')
    dtypes = {tf.as_dtype(d) for d in (dtype, *(b.dtype for b in bijectors))
              if d is not None}
    if len(dtypes) > 1:
      raise ValueError(
          '`bijectors` must have one dtype, got '
          f'{sorted(d.name for d in dtypes)}.')
    super().__init__(
        forward_min_event_ndims=_latent_event_ndims(bijectors),
        inverse_min_event_ndims=_data_event_ndims(bijectors),
        dtype=dtypes.pop() if dtypes else tf.float32,
        validate_args=validate_args, name=name)
    self._bijectors = bijectors
    self._memory = memory

  @property
  def memory(self):
    """Python `str`, what the gradient costs."""
    return self._memory

  @property
  def bijectors(self):
    """The members, nearest to the data first."""
    return list(self._bijectors)

  @property
  def condition_names(self):
    return frozenset(itertools.chain.from_iterable(
        _condition_names(b) for b in self._bijectors))

  def _inverse_and_log_det(self, y, **conditions):
    total = tf.zeros([], self.dtype)
    event_ndims = self.inverse_min_event_ndims
    for members, seen in self._parts(conditions):
      if run.is_member(members[0]):
        layers = run.Run(members, seen, event_ndims, inverse=True)
        y, log_det = layers(y, self._memory)
      else:
        y, log_det = _inverse_and_log_det(members[0], y, event_ndims, seen)
        event_ndims = members[0].inverse_event_ndims(event_ndims)
      total += log_det
    return y, total

  def _forward_and_log_det(self, x, **conditions):
    total = tf.zeros([], self.dtype)
    event_ndims = self.forward_min_event_ndims
    for members, seen in reversed(list(self._parts(conditions))):
      if run.is_member(members[0]):
        layers = run.Run(members, seen, event_ndims, inverse=False)
        x, log_det = layers(x, self._memory)
      else:
        x, log_det = _forward_and_log_det(members[0], x, event_ndims, seen)
        event_ndims = members[0].forward_event_ndims(event_ndims)
      total += log_det
    return x, total

  def _initialize(self, y, **conditions):
    for bijector, seen in self._members(conditions):
      if isinstance(bijector, flow_bijector.FlowBijector):
        y = bijector.initialize(y, **seen)
      else:
        y = bijector.inverse(y)
    return y

  def _pass_feature_map(self, feature_map):
    for bijector in self._bijectors:
      feature_map = _pass_feature_map(bijector, feature_map)
    return feature_map

  def _members(self, conditions):
    """Yields each bijector with the keyword arguments that it takes."""
    conditions = dict(conditions)
    for bijector in self._bijectors:
      names = _condition_names(bijector)
      yield bijector, {k: v for k, v in conditions.items() if k in names}
      if conditions.get('feature_map') is not None:
        conditions['feature_map'] = _pass_feature_map(
            bijector, conditions['feature_map'])

  def _parts(self, conditions):
    """The members, with those that can be in a run taken together."""
    layers, seen_by_layers = [], {}
    for bijector, seen in self._members(conditions):
      if run.is_member(bijector):
        layers.append(bijector)
        seen_by_layers.update(seen)
        continue
      if layers:
        yield layers, seen_by_layers
      layers, seen_by_layers = [], {}
      yield [bijector], seen
    if layers:
      yield layers, seen_by_layers

  def _inverse_event_shape(self, shape):
    for bijector in self._bijectors:
      shape = bijector.inverse_event_shape(shape)
    return shape

  def _forward_event_shape(self, shape):
    for bijector in reversed(self._bijectors):
      shape = bijector.forward_event_shape(shape)
    return shape

  def _inverse_event_shape_tensor(self, shape):
    for bijector in self._bijectors:
      if not run.is_member(bijector):  # those keep it
        shape = bijector.inverse_event_shape_tensor(shape)
    return shape

  def _forward_event_shape_tensor(self, shape):
    for bijector in reversed(self._bijectors):
      if not run.is_member(bijector):  # those keep it
        shape = bijector.forward_event_shape_tensor(shape)
    return shape


def _data_event_ndims(bijectors):
  """Smallest rank of a data event that every member can work on."""
  needed, change = 0, 0
  for bijector in bijectors:
    needed = max(needed, bijector.inverse_min_event_ndims - change)
    change += _rank_change(bijector)
  return needed


def _latent_event_ndims(bijectors):
  return _data_event_ndims(bijectors) + sum(map(_rank_change, bijectors))


def _rank_change(bijector):
  return bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims


def _condition_names(bijector):
  if isinstance(bijector, flow_bijector.FlowBijector):
    return bijector.condition_names
  return frozenset()


def _pass_feature_map(bijector, feature_map):
  if isinstance(bijector, flow_bijector.FlowBijector):
    return bijector._pass_feature_map(feature_map)  # pylint: disable=protected-access
  return feature_map


def _inverse_and_log_det(bijector, y, event_ndims, conditions):
  if isinstance(bijector, flow_bijector.FlowBijector):
    x, log_det = bijector._inverse_and_log_det(y, **conditions)  # pylint: disable=protected-access
    return x, flow_bijector.sum_log_det(
        log_det, y, bijector.inverse_min_event_ndims, event_ndims)
  x = bijector.inverse(y)
  log_det = bijector.inverse_log_det_jacobian(y, event_ndims)
  _forget_graph(bijector)
  return x, log_det


def _forward_and_log_det(bijector, x, event_ndims, conditions):
  if isinstance(bijector, flow_bijector.FlowBijector):
    y, log_det = bijector._forward_and_log_det(x, **conditions)  # pylint: disable=protected-access
    return y, flow_bijector.sum_log_det(
        log_det, x, bijector.forward_min_event_ndims, event_ndims)
  y = bijector.forward(x)
  log_det = bijector.forward_log_det_jacobian(x, event_ndims)
  _forget_graph(bijector)
  return y, log_det


def _forget_graph(bijector):
  """Has TFP's cache let go of a graph's tensors, and so of the graph."""
  if not tf.executing_eagerly():
    bijector._cache.clear()  # pylint: disable=protected-access
