"""Composition of layers."""

from collections.abc import Sequence
import itertools

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import execution
from tfp_glow.bijectors import flow_bijector

tfb = tfp.bijectors


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

  With `memory='recompute'` the gradient reconstructs each layer's input from
  its output, so only one layer's activations are alive at a time ([1]);
  weights, and the graph where it is unrolled, still grow with depth. Gradients
  are those of `'store'` up to rounding, as long as no layer is nearly singular
  ([2]; `ReconstructionCheck` watches). It holds for rows of layers that keep
  the event's shape, layers of one's own among them; others store what they
  need. A network is evaluated twice, so it must give the same again: no
  dropout. In a graph that XLA does not compile, more than eight steps that are
  alike, as Glow's are, become one scan.

  The tape must be in the same `tf.function` as the flow, as it is in `fit`. To
  a tape outside of it, and to `tf.autodiff.ForwardAccumulator`, which knows no
  custom gradient, the activations are stored.

  #### References

  [1]: Gomez, Ren, Urtasun and Grosse. The Reversible Residual Network:
       Backpropagation Without Storing Activations. 2017. Algorithm 1.
       https://arxiv.org/abs/1707.04585
  [2]: Behrmann et al. Understanding and Mitigating Exploding Inverses in
       Invertible Neural Networks. 2020. https://arxiv.org/abs/2006.09347
  """

  def __init__(self, bijectors: Sequence[tfb.Bijector], memory: str = 'store',
               dtype: tf.DType | None = None, validate_args: bool = False,
               name: str = 'chain'):
    """Composes bijectors, nearest to the data first.

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
    if memory not in execution.MEMORY:
      raise ValueError(
          f'`memory` must be one of {execution.MEMORY}, got {memory!r}.')
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
        is_constant_jacobian=all(b.is_constant_jacobian for b in bijectors),
        dtype=dtypes.pop() if dtypes else tf.float32,
        validate_args=validate_args, name=name)
    self._bijectors = bijectors
    self._memory = memory
    self._planned = None

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

  @property
  def keeps_event_shape(self):
    # A chain plans its own evaluation.
    return False

  def apply(self, value, prepared, inverse, context):
    del prepared
    total = tf.zeros([], self.dtype)
    event_ndims = (self.inverse_min_event_ndims if inverse else
                   self.forward_min_event_ndims)
    parts = list(self._with_contexts(context))
    for part, of_part in parts if inverse else reversed(parts):
      if isinstance(part, execution.Segment):
        value, log_det = execution.evaluate(
            part, value, inverse, of_part, event_ndims, self._memory)
      else:
        value, log_det = flow_bijector.evaluate(
            part, value, inverse, of_part, event_ndims)
        event_ndims = (part.inverse_event_ndims(event_ndims) if inverse else
                       part.forward_event_ndims(event_ndims))
      total += log_det
    return value, total

  def _initialize(self, y, **conditions):
    for bijector in self._bijectors:
      if isinstance(bijector, flow_bijector.FlowBijector):
        y = bijector.initialize(y, **{
            k: v for k, v in conditions.items()
            if k in bijector.condition_names | {'training'}})
      else:
        y = bijector.inverse(y)
      if conditions.get('feature_map') is not None:
        conditions['feature_map'] = _pass_feature_map(
            bijector, conditions['feature_map'])
    return y

  def pass_feature_map(self, feature_map):
    for bijector in self._bijectors:
      feature_map = _pass_feature_map(bijector, feature_map)
    return feature_map

  def parts(self):
    """Returns segments, and the members between them, nearest to data first.

    They are planned once, when every network has made its variables.
    """
    if self._planned is not None:
      return self._planned
    parts, layers = [], []
    for bijector in [*self._bijectors, None]:
      if _is_in_segment(bijector):
        layers.append(bijector)
        continue
      parts += [*execution.segments(layers), bijector]
      layers = []
    parts.pop()  # the end
    if all(bijector.is_built for bijector in self._bijectors
           if isinstance(bijector, flow_bijector.FlowBijector)):
      self._planned = execution.Plan(parts)
      return self._planned
    return parts

  def _with_contexts(self, context):
    """Yields each part with the context as it sees it."""
    for part in self.parts():
      yield part, context
      feature_map = context.conditions.get('feature_map')
      if feature_map is not None and not isinstance(part, execution.Segment):
        context = context.with_condition(
            'feature_map', _pass_feature_map(part, feature_map))

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
      if not _is_in_segment(bijector):  # members of a segment keep the shape
        shape = bijector.inverse_event_shape_tensor(shape)
    return shape

  def _forward_event_shape_tensor(self, shape):
    for bijector in reversed(self._bijectors):
      if not _is_in_segment(bijector):
        shape = bijector.forward_event_shape_tensor(shape)
    return shape


def _is_in_segment(bijector):
  return (isinstance(bijector, flow_bijector.FlowBijector) and
          bijector.keeps_event_shape)


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
    return bijector.pass_feature_map(feature_map)
  return feature_map
