"""The explicit context of an evaluation."""

import collections.abc
import dataclasses

import tensorflow as tf


class Updates:
  """New values of variables, which whoever trains assigns or drops."""

  def __init__(self):
    self.pairs = []

  def add(self, variable, value):
    """Notes the value that a variable is to get."""
    self.pairs.append((variable, value))

  def apply_where(self, condition):
    """Assigns every value where a condition, a scalar, holds."""
    for variable, value in self.pairs:
      variable.assign(tf.where(condition, value, variable))


class _Dropped(Updates):
  """Updates that nobody wants: a layer is only evaluated once more."""

  def add(self, variable, value):
    del variable, value


DROPPED = _Dropped()


class PreparedWeights:
  """Prepared weights, made once, for a graph that is exported.

  Layers that prepare their weights get variables in place of the tensors, so
  that the graph reads what was prepared and does not prepare it again. It must
  live as long as the graphs that were traced with it.
  """

  def __init__(self):
    self._variables = {}

  def once(self, key, make):
    """Returns `make()` as it was when `key` was first asked for.

    Args:
      key: Hashable. Of a layer it has the `id`, since TFP takes bijectors with
        equal parameters for equal.
      make: Function that gives a structure of `Tensor`, made of weights alone.
    """
    if key not in self._variables:
      with tf.init_scope():
        self._variables[key] = tf.nest.map_structure(
            lambda value: tf.Variable(value, trainable=False), make())
    return tf.nest.map_structure(
        tf.convert_to_tensor, self._variables[key])


class ReconstructionErrors:
  """Errors of reconstruction, one for each segment that was evaluated."""

  def __init__(self):
    self.errors = []

  def add(self, value, reconstructed):
    """Notes the greatest difference over the greatest value."""
    self.errors.append(tf.reduce_max(tf.abs(reconstructed - value)) /
                       tf.reduce_max(tf.abs(value)))


@dataclasses.dataclass(frozen=True)
class Context:
  """The mode of an evaluation and its conditions, handed from layer to layer.

  Attributes:
    training: Whether batch statistics and the networks' own precision are
      used, or running averages and the precision of the weights.
    updates: Takes new values of running averages, or `None`.
    prepared: Store of prepared weights, of an export, or `None`.
    errors: Takes errors of reconstruction, or `None`.
    conditions: Conditions by name: `label`, `feature_map`, `context`.
  """

  training: bool = False
  updates: Updates | None = None
  prepared: PreparedWeights | None = None
  errors: ReconstructionErrors | None = None
  conditions: collections.abc.Mapping[str, tf.Tensor] = dataclasses.field(
      default_factory=dict)

  @classmethod
  def of(cls, training=False, **conditions):
    """Makes a context of the keyword arguments of a public method."""
    return cls(training=training, conditions={
        k: v for k, v in conditions.items() if v is not None})

  def with_condition(self, name, value):
    """Returns the context with another value of a condition."""
    return dataclasses.replace(
        self, conditions={**self.conditions, name: value})

  def replaying(self):
    """Returns the context of one more evaluation of the same layer."""
    return dataclasses.replace(self, updates=DROPPED, errors=None)

  def keywords(self, names):
    """Returns the keyword arguments of a layer that takes those names."""
    keywords = {k: v for k, v in self.conditions.items() if k in names}
    if 'training' in names:
      keywords['training'] = self.training
    return keywords

  def prepare(self, key, make):
    """Returns `make()`, once and for all where weights no longer change."""
    if self.prepared is None:
      return make()
    return self.prepared.once(key, make)
