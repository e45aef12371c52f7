"""A bijector cache that is invalidated when variables change."""

import tensorflow as tf

from tfp_glow import tf_internals

_STATE = 'variable_state'
_GRAPH_STORAGE = '_tfp_glow_bijector_cache'
_READS = frozenset(['ReadVariableOp', 'VariableShape', 'VarIsInitializedOp'])


class FreshCache(tf_internals.BijectorCache):
  """TFP's input/output cache, less the entries that an update made stale.

  `log_prob` relies on the cache: it calls `inverse`, then asks for the
  log-determinant at the same tensor, and each network must run once. But TFP
  keeps an entry for as long as its output lives, even when the variables that
  it was computed from have changed since. Here each entry also remembers
  those, and is computed anew when they differ. And what belongs to a graph is
  kept with that graph, so that it goes when the graph goes.
  """

  def __get__(self, bijector, bijector_class=None):
    cache = super().__get__(bijector, bijector_class)
    graph = _current_graph()
    if graph is not None:
      if not hasattr(graph, _GRAPH_STORAGE):
        setattr(graph, _GRAPH_STORAGE, tf_internals.EphemeralDict())
      cache.storage = getattr(graph, _GRAPH_STORAGE)
    return cache

  def _lookup(self, input, forward_name, inverse_name, **kwargs):  # pylint: disable=redefined-builtin
    self._drop_if_stale(input, forward_name, kwargs)
    output = super()._lookup(input, forward_name, inverse_name, **kwargs)
    attributes = self._get_or_create_edge(
        input, forward_name, kwargs).attributes
    if _STATE not in attributes:
      attributes[_STATE] = VariableState(self.bijector.variables)
    return output

  def _attributes(self, input, fn_name, **kwargs):  # pylint: disable=redefined-builtin
    self._drop_if_stale(input, fn_name, kwargs)
    return super()._attributes(input, fn_name, **kwargs)

  def _drop_if_stale(self, input, fn_name, kwargs):  # pylint: disable=redefined-builtin
    edge = self._get_or_create_edge(input, fn_name, kwargs)
    if edge.output_ref is None and not edge.attributes:
      return
    state = edge.attributes.get(_STATE)
    if state is None or not state.is_current():
      # A new dict, not a cleared one: the entry of the other direction, which
      # shares the old one, then finds itself without a state, so stale too.
      edge.attributes.clear()
      self.storage[edge.input_ref] = edge._replace(
          output_ref=None, attributes={}, dependencies=None)


class VariableState:
  """Values of variables at the time a cached value was computed."""

  def __init__(self, variables):
    self._variables = tuple(variables)
    self._tokens = _tokens(self._variables)

  def is_current(self):
    """Whether the variables hold the same values still."""
    tokens = _tokens(self._variables)
    if tf.executing_eagerly():
      return all(bool(tf.reduce_all(tf.equal(old, new)))
                 for old, new in zip(self._tokens, tokens))
    return tokens == self._tokens


def _tokens(variables):
  """Variables' values; in a graph, how many operations there may write each."""
  graph = _current_graph()
  if graph is None:
    # Shares the variable's buffer: TensorFlow copies it on the next write.
    return [variable.value() for variable in variables]
  # What the graph has not captured, nothing in it writes; and to capture it
  # here would tie the graph to variables that it has no need of.
  captured = {id(outside): inside
              for outside, inside in getattr(graph, 'captures', ())}
  handles = [variable.handle for variable in variables]
  handles = [captured.get(id(handle)) if hasattr(graph, 'captures') else handle
             for handle in handles]
  return [0 if handle is None else sum(
      op.type not in _READS for op in handle.consumers())
          for handle in handles]


def _current_graph():
  return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
