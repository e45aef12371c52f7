"""Layers in a row that keep an event's shape, evaluated as one.

What depends on weights alone is computed for all alike layers together, or,
in a loop, for one at a time. With `memory='recompute'` what the gradient needs
of a layer is rebuilt from the layer's output, so the row stores its last output
and nothing else.
"""

import contextlib
import threading

import keras
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from tfp_glow import frozen
from tfp_glow import normalization
from tfp_glow.bijectors import batch_norm
from tfp_glow.bijectors import channel_affine
from tfp_glow.bijectors import coupling
from tfp_glow.bijectors import flow_bijector
from tfp_glow.bijectors import gradients as gradients_lib

MEMORY = ('store', 'recompute')

_LOOPED = (coupling.AffineCoupling, coupling.AdditiveCoupling)

# Up to so many alike steps a graph without a loop is not larger than one with
# a loop, and runs faster.
MOST_UNROLLED = 4

_local = threading.local()


@contextlib.contextmanager
def measuring_reconstruction():
  """Within it, every run measures how well its input can be rebuilt.

  Yields:
    errors: List that grows by a `Tensor` `[]` for each run that is evaluated:
      the greatest difference, over the greatest value.
  """
  before = getattr(_local, 'errors', None)
  _local.errors = []
  try:
    yield _local.errors
  finally:
    _local.errors = before


def is_member(bijector):
  """Whether a bijector can be in a run."""
  return isinstance(bijector, (
      channel_affine.ChannelAffine, coupling.Coupling, batch_norm.BatchNorm))


class Run:
  """Layers in a row, in one direction."""

  def __init__(self, layers, conditions, event_ndims, inverse):
    """Takes layers and conditions.

    Args:
      layers: List of bijectors, nearest to the data first, each `is_member`.
      conditions: `dict` of keyword arguments, for those that take them.
      event_ndims: Python `int`, rank of an event.
      inverse: Python `bool`, from data to latent, or back.
    """
    conditions = {
        name: tf.convert_to_tensor(value, dtype_hint=layers[0].dtype)
        if name in ('feature_map', 'context') and value is not None else value
        for name, value in conditions.items()}
    self._tensors = [value for value in conditions.values()
                     if tf.is_tensor(value) and value.dtype.is_floating]
    self._event_ndims = event_ndims
    self._steps = _steps(layers, conditions, inverse)

  def __call__(self, value, memory):
    """Applies the layers.

    Args:
      value: `Tensor` `[..., *event]`.
      memory: Python `str`, one of `MEMORY`.

    Returns:
      result: `Tensor` `[..., *event]`.
      log_det: `Tensor`, `[...]` or `[]`.
    """
    errors = getattr(_local, 'errors', None)
    if errors is not None:
      errors.append(self._reconstruction_error(value, self._weights(value)))
    if memory == 'store' or frozen.is_freezing():
      return self._apply(value, self._weights(value))[:2]
    period = self._period()
    return (self._looped(value, period) if period else
            self._unrolled(value))

  def _unrolled(self, value):
    """Applies the layers one by one, and rebuilds them one by one."""
    weights = self._weights(value)
    flat = tf.nest.flatten([weights[step] for step in self._steps])
    kept = []

    def compute():
      result, log_det, kept[:] = self._apply(value, weights)
      return [result, log_det]

    def pull_back(variables, outputs, gradients):
      _, by_tensor, by_variable = self._pull_back(
          outputs[0], *gradients, weights, kept)
      return by_tensor, [by_variable.get(v.ref()) for v in variables]

    return gradients_lib.with_gradient(
        compute, [value, *flat, *self._tensors], pull_back)

  def _looped(self, value, period):
    """The same as a graph whose size does not depend on depth.

    What is made of variables is made within the loop, so that it is there for
    one step at a time.
    """
    weights = [
        [[tf.convert_to_tensor(v) for v in alike] for alike in zip(*(
            step.variables for step in self._steps[k::period]))]
        for k in range(period)]

    def stacked():
      return [[tf.stack(alike) for alike in of_step] for of_step in weights]

    def compute():
      return self._apply_in_loop(value, stacked())

    def pull_back(variables, outputs, gradients):
      # Not before, and not the same, which would be there all along.
      with tf.control_dependencies(gradients):
        again = stacked()
      return (self._pull_back_in_loop(outputs[0], *gradients, again),
              [None] * len(variables))

    return gradients_lib.with_gradient(
        compute, [value, *tf.nest.flatten(weights), *self._tensors],
        pull_back)

  def _reconstruction_error(self, value, weights):
    result, log_det, kept = self._apply(value, weights)
    rebuilt, _, _ = self._pull_back(
        result, tf.zeros_like(result), tf.zeros_like(log_det), weights, kept)
    return (tf.reduce_max(tf.abs(rebuilt - value)) /
            tf.reduce_max(tf.abs(value)))

  def _weights(self, value):
    if frozen.is_freezing():
      # Not together, so that both directions share what they have in common.
      return {step: step.fold([step], value)[0] for step in self._steps}
    return _in_alike(
        self._steps, lambda steps: steps[0].fold(steps, value))

  def _apply(self, value, weights):
    """Returns the output, the log-determinant, and what must be kept."""
    total = tf.zeros([], value.dtype)
    kept = []
    for step in self._steps:
      result, log_det, kept_by_step = step.apply(value, weights[step])
      total += self._sum(step, log_det, value)
      value = result
      kept.append(kept_by_step)
    return value, total, kept

  def _pull_back(self, output, d_output, d_log_det, weights, kept):
    """Goes back to the input, and takes all gradients on the way.

    Returns:
      value: The input.
      by_tensor: Gradients of the input, the weights and the conditions.
      by_variable: `dict` of those of other variables, by reference.
    """
    back = _in_alike(self._steps, lambda steps: steps[0].fold_back(steps))
    tensors = self._tensors
    d_weights, d_tensors, by_variable = {}, [None] * len(tensors), {}
    done = [d_output, d_log_det]
    for step, kept_by_step in zip(reversed(self._steps), reversed(kept)):
      # Otherwise all inputs are rebuilt first, and what they need is kept.
      output = _after(done, output)
      flat = tf.nest.flatten(weights[step])
      with tf.GradientTape() as tape, (
          normalization.updating_running_averages(False)):
        tape.watch([*flat, *tensors])
        output, parts, again, log_det = step.again(
            tape, output, weights[step], back[step], kept_by_step)
        log_det = self._sum(step, log_det, output) + tf.zeros_like(d_log_det)
      variables = tape.watched_variables()
      d_parts, d_weights[step], d_seen, d_variables = _like(
          [parts, flat, tensors, variables], tape.gradient(
              [again, log_det], [*parts, *flat, *tensors, *variables],
              [d_output, d_log_det]))
      d_output = step.join(d_parts)
      d_tensors = [_add(a, b) for a, b in zip(d_tensors, d_seen)]
      for variable, gradient in zip(variables, d_variables):
        by_variable[variable.ref()] = _add(
            by_variable.get(variable.ref()), gradient)
      done = [gradient for gradient in (
          d_output, *d_weights[step], *d_seen, *d_variables)
              if gradient is not None]
    by_tensor = [d_output]
    for step in self._steps:
      by_tensor.extend(d_weights[step])
    return output, by_tensor + d_tensors, by_variable

  def _period(self):
    """After how many steps the steps repeat, where a graph can loop, or 0."""
    keys = [step.repeats for step in self._steps]
    # For the CPU, XLA makes fast convolutions of those outside of loops alone
    # (https://github.com/jax-ml/jax/issues/12868): about 30 times the time.
    if tf.executing_eagerly() or None in keys or _in_xla():
      return 0
    for period in range(1, len(keys) // (MOST_UNROLLED + 1) + 1):
      if len(keys) % period == 0 and keys == keys[:period] * (
          len(keys) // period):
        return period
    return 0

  def _apply_in_loop(self, value, stacked):
    """`_apply`, of variables of alike steps in one row each."""
    period = len(stacked)
    count = len(self._steps) // period
    shape = value.shape
    zeros = tf.zeros_like(tf.reduce_sum(
        value, axis=list(range(-self._event_ndims, 0))))

    def body(k, value, total):
      for step, rows in zip(self._steps[:period], stacked):
        weights = step.fold_values([row[k] for row in rows], value)
        result, log_det, _ = step.apply(value, weights)
        total += self._sum(step, log_det, value)
        value = tf.ensure_shape(result, shape)
      return k + 1, value, total

    _, value, total = tf.while_loop(
        lambda k, *_: k < count, body, [0, value, zeros],
        parallel_iterations=1, maximum_iterations=count)
    return [value, total]

  def _pull_back_in_loop(self, output, d_output, d_log_det, stacked):
    """Gradients of `_apply_in_loop`: of input, variables and conditions."""
    period = len(stacked)
    count = len(self._steps) // period
    shape, tensors = output.shape, self._tensors
    gradients = [[tf.TensorArray(row.dtype, count, element_shape=row.shape[1:])
                  for row in rows] for rows in stacked]

    def body(k, output, d_output, d_tensors, gradients):
      k -= 1
      d_tensors, gradients = list(d_tensors), list(gradients)
      for position in reversed(range(period)):
        step = self._steps[position]
        values = [row[k] for row in stacked[position]]
        with tf.GradientTape() as tape:
          tape.watch([*values, *tensors])
          weights = step.fold_values(values, output)
          with tape.stop_recording():
            back = step.fold_back_values(values)
          output, parts, again, log_det = step.again(
              tape, output, weights, back, ())
          log_det = self._sum(step, log_det, output) + tf.zeros_like(d_log_det)
        if tape.watched_variables():
          raise ValueError(
              'A network that takes `folded` must read no variable itself, '
              f'but one reads {tape.watched_variables()[0].name}.')
        d_parts, d_values, d_seen = _like([parts, values, tensors],
                                          tape.gradient(
            [again, log_det], [*parts, *values, *tensors],
            [d_output, d_log_det], unconnected_gradients='zero'))
        d_output = tf.ensure_shape(step.join(d_parts), shape)
        output = tf.ensure_shape(output, shape)
        d_tensors = [a + b for a, b in zip(d_tensors, d_seen)]
        gradients[position] = [
            row.write(k, d) for row, d in zip(gradients[position], d_values)]
      return k, output, d_output, d_tensors, gradients

    _, _, d_output, d_tensors, gradients = tf.while_loop(
        lambda k, *_: k > 0, body,
        [count, output, d_output, [tf.zeros_like(t) for t in tensors],
         gradients], parallel_iterations=1, maximum_iterations=count)
    by_weight = [tf.unstack(row.stack(), num=count)
                 for rows in gradients for row in rows]
    return [d_output, *tf.nest.flatten(by_weight), *d_tensors]

  def _sum(self, step, log_det, value):
    return flow_bijector.sum_log_det(
        log_det, value, step.event_ndims, self._event_ndims)


class _Step:
  """One layer, or neighbouring per-pixel layers, in one direction."""

  # Equal for steps whose weights are folded together.
  alike = None
  # Equal for steps that differ in their weights alone, or `None`.
  repeats = None

  def __init__(self, layer, conditions, inverse):
    self._layer = layer
    self._inverse = inverse
    self._conditions = {name: value for name, value in conditions.items()
                        if name in layer.condition_names}
    self.event_ndims = layer.inverse_min_event_ndims

  def fold(self, steps, value):
    """`weights` of alike steps, computed together: of each a structure."""
    del value  # Nothing depends on its shape.
    return [() for _ in steps]

  def fold_back(self, steps):
    """The same for the other direction, as far as it takes others."""
    return [() for _ in steps]

  @property
  def variables(self):
    """All that `fold` reads, where `repeats` is not `None`."""
    raise NotImplementedError

  def fold_values(self, values, value):
    """`weights` of this step, of values in place of its `variables`."""
    raise NotImplementedError

  def fold_back_values(self, values):
    """The same for the other direction, as far as it takes others."""
    del values
    return ()

  def apply(self, value, weights):
    """Returns the output, the log-determinant, and what must be kept."""
    del weights
    method = (self._layer._inverse_and_log_det if self._inverse else  # pylint: disable=protected-access
              self._layer._forward_and_log_det)  # pylint: disable=protected-access
    return *method(value, **self._conditions), ()

  def rebuild(self, output, back, kept):
    """The input of `apply`."""
    del back, kept
    method = (self._layer._forward_and_log_det if self._inverse else  # pylint: disable=protected-access
              self._layer._inverse_and_log_det)  # pylint: disable=protected-access
    return method(output)[0]

  def again(self, tape, output, weights, back, kept):
    """Evaluates the step again, from its output.

    Args:
      tape: `tf.GradientTape` that records.
      output: What `apply` gave.
      weights: What `fold` gave.
      back: What `fold_back` gave.
      kept: What `apply` said must be kept.

    Returns:
      value: The input.
      parts: List of `Tensor`, watched by the tape, that make up the input.
      output: The output again.
      log_det: The log-determinant again.
    """
    with tape.stop_recording():
      value = self.rebuild(output, back, kept)
    tape.watch(value)
    output, log_det, _ = self.apply(value, weights)
    return value, [value], output, log_det

  def join(self, gradients):
    """The gradient of the input, from those of its parts."""
    return gradients[0]


class _BatchNormStep(_Step):
  """Batch normalisation, which keeps the moments of the batch."""

  def apply(self, value, weights):
    if self._inverse:
      return self._layer.normalise(value, **self._conditions)
    return super().apply(value, weights)

  def rebuild(self, output, back, kept):
    if self._inverse:
      return self._layer.restore(output, *kept)[0]
    return super().rebuild(output, back, kept)


class _MapStep(_Step):
  """Neighbouring per-pixel layers: one matrix and one shift."""

  def __init__(self, layers, inverse):
    super().__init__(layers[0], {}, inverse)
    self._layers = layers
    self.alike = tuple((type(layer), layer.channels) for layer in layers)
    self.repeats = self.alike

  def fold(self, steps, value):
    return channel_affine.group_maps(
        [step._layers for step in steps], self._inverse)

  def fold_back(self, steps):
    return channel_affine.group_maps(
        [step._layers for step in steps], not self._inverse)

  @property
  def variables(self):
    return [v for layer in self._layers for v in layer.affine_weights]

  def fold_values(self, values, value):
    return self._multiplied(values, self._inverse)

  def fold_back_values(self, values):
    return self._multiplied(values, not self._inverse)

  def _multiplied(self, values, inverse):
    by_layer = _like([layer.affine_weights for layer in self._layers],
                     [tf.expand_dims(value, 0) for value in values])
    return [tf.squeeze(part, 0) for part in channel_affine.multiplied_map(
        self._layers, by_layer, inverse)]

  def apply(self, value, weights):
    channel_affine.check_channels(
        self._layers, value, 'y' if self._inverse else 'x')
    return *channel_affine.apply_map(value, weights), ()

  def rebuild(self, output, back, kept):
    return channel_affine.apply_map(output, back)[0]


class _CouplingStep(_Step):
  """A coupling, whose network sees the same before and after."""

  def __init__(self, layer, conditions, inverse):
    super().__init__(layer, conditions, inverse)
    self.alike = layer.folded_like
    if self.alike is not None and type(layer) in _LOOPED and (
        getattr(layer, 'scale', None) != 'tanh') and (  # has a variable
            isinstance(layer.conditioner, keras.layers.Layer)):
      self.repeats = (
          self.alike, type(layer), type(layer.mask), layer.mask.kept,
          getattr(layer, 'scale', None))

  def fold(self, steps, value):
    if self.alike is None:
      return super().fold(steps, value)
    return self._layer.folded([step._layer for step in steps], value)

  @property
  def variables(self):
    return self._layer.conditioner.variables

  def fold_values(self, values, value):
    with keras.StatelessScope(list(zip(self.variables, values))):
      folded, = self.fold([self], value)
    return folded

  def apply(self, value, weights):
    method = (self._layer._inverse_and_log_det if self._inverse else  # pylint: disable=protected-access
              self._layer._forward_and_log_det)  # pylint: disable=protected-access
    return *method(value, folded=weights or None, **self._conditions), ()

  def again(self, tape, output, weights, back, kept):
    return self._layer.again(
        tape, output, self._inverse, folded=weights or None,
        **self._conditions)

  def join(self, gradients):
    mask = self._layer.mask
    kept, changed = gradients
    return mask.merge(mask.keep(kept), mask.blank(changed))


def _steps(layers, conditions, inverse):
  """The steps that the layers make, in the order of their application."""
  steps, neighbours = [], []
  for layer in [*layers, None]:
    if isinstance(layer, channel_affine.ChannelAffine):
      neighbours.append(layer)
      continue
    if len(neighbours) > 1:
      steps.append(_MapStep(neighbours, inverse))
    elif neighbours:
      steps.append(_Step(neighbours[0], {}, inverse))
    neighbours = []
    if isinstance(layer, coupling.Coupling):
      steps.append(_CouplingStep(layer, conditions, inverse))
    elif layer is not None:
      steps.append(_BatchNormStep(layer, conditions, inverse))
  return steps if inverse else steps[::-1]


def _in_xla():
  """Whether XLA compiles what is traced now."""
  return not tf.executing_eagerly() and (
      control_flow_util.GraphOrParentsInXlaContext(
          tf.compat.v1.get_default_graph()))


def _after(first, value):
  """`value`, which is there when all of `first` are."""
  with tf.control_dependencies(first):
    value = tf.identity(value)
  if not _in_xla():
    return value
  # XLA forgets control dependencies, and for the CPU it orders operations when
  # it has dropped its own barriers. Data it heeds: NaN leads to NaN.
  token = tf.add_n([
      tf.cast(tf.reshape(one, [-1])[0], value.dtype) for one in first])
  return tf.where(tf.math.is_nan(token), token, value)


def _in_alike(steps, fold):
  """What `fold` gives for alike steps together, by step."""
  alike = {}
  for step in steps:
    alike.setdefault((type(step), step.alike), []).append(step)
  return {step: of_step for together in alike.values()
          for step, of_step in zip(together, fold(together))}


def _like(lists, values):
  """`values`, cut into lists of the lengths of `lists`."""
  values = iter(values)
  return [[next(values) for _ in one] for one in lists]


def _add(a, b):
  """The sum, where `None` is zero."""
  if a is None or b is None:
    return b if a is None else a
  return a + b
