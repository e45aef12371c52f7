"""Keras's training of a flow: steps, loss, metrics, several workers."""

import math
from typing import Any
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import execution
from tfp_glow import replicas
from tfp_glow import seeding
from tfp_glow.model import inputs as inputs_lib

_LESS_IS_BETTER = ('bits_per_dim', 'classification_error', 'skipped_steps')


class TrainedByKeras(keras.Model):
  """Training, evaluation and prediction of a `FlowModel`.

  The loss is the mean of `call`'s `'bits_per_dim'`, the weighted cross-entropy
  of `'class_logits'` where there are any, and what networks add. A step that
  is not finite changes nothing but the counts of such steps.
  """

  def __init__(self, weight_y: float, seed: int | None, **kwargs: Any):
    """Makes what counts and draws beside the weights.

    Args:
      weight_y: Weight of the cross-entropy, in bits; 0 where there is none.
      seed: Of the dequantisation noise.
      **kwargs: Keyword arguments of `keras.Model`.
    """
    super().__init__(**kwargs)
    seed = seeding.not_negative(seed)
    self.weight_y = weight_y
    self._noise_seeds = keras.random.SeedGenerator(seed)
    self._bits_per_dim = keras.metrics.Mean('bits_per_dim')
    self._classification_error = (
        keras.metrics.Mean('classification_error') if weight_y else None)
    self._skipped_in_epoch = keras.metrics.Sum('skipped_steps')
    self.skipped_steps, self.skipped_in_a_row = (
        tf.Variable(
            0, dtype=tf.int64, trainable=False, name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        for name in ('skipped_steps', 'skipped_in_a_row'))

  @property
  def training_state(self) -> list[tf.Variable]:
    """State that training resumes from, beside the weights.

    The state of the dequantisation noise, the number of steps skipped because
    they were not finite, and how many of them were the last ones in a row.
    """
    return [self._noise_seeds.state.value, self.skipped_steps,
            self.skipped_in_a_row]

  def compile(self, optimizer: Any = 'rmsprop', loss: Any = None,
              loss_weights: Any = None, metrics: Any = None,
              weighted_metrics: Any = None, run_eagerly: bool = False,
              steps_per_execution: int = 1, jit_compile: Any = 'auto',
              auto_scale_loss: bool = True) -> None:
    """`keras.Model.compile` of an optimizer; loss and metrics are bits/dim.

    Args:
      optimizer: An optimizer or its name. Where networks compute in float16,
        a `LossScaleOptimizer` is put around it, as Keras does.
      loss: Not taken: the loss is bits/dim.
      loss_weights: Not taken.
      metrics: Not taken: a callback can measure more.
      weighted_metrics: Not taken.
      run_eagerly: As in Keras.
      steps_per_execution: As in Keras.
      jit_compile: As in Keras.
      auto_scale_loss: Whether to scale the loss of networks in float16.

    Raises:
      ValueError: If a loss or metrics are given.
    """
    for argument, value in (
        ('loss', loss), ('loss_weights', loss_weights), ('metrics', metrics),
        ('weighted_metrics', weighted_metrics)):
      if value is not None:
        raise ValueError(
            f'`{argument}` is given, but the loss and the metric of a '
            'FlowModel are bits/dim. To measure more, give `fit` a callback; '
            'to add to the loss, override `compute_loss`.')
    optimizer = keras.optimizers.get(optimizer)
    in_float16 = {'float16', 'mixed_float16'} & {*self.network_policy.split()}
    if auto_scale_loss and in_float16 and not _scales_loss(optimizer):
      optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    super().compile(
        optimizer, run_eagerly=run_eagerly,
        steps_per_execution=steps_per_execution, jit_compile=jit_compile,
        auto_scale_loss=auto_scale_loss)

  def compile_from_config(self, config: dict[str, Any]) -> None:
    """Compiles as a saved model was; Keras leaves an own `compile` to us."""
    self.compile(**keras.saving.deserialize_keras_object(config))
    self.optimizer.build(self.trainable_variables)

  def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None,
          epochs: int = 1, verbose: Any = 'auto', callbacks: Any = None,
          validation_split: float = 0., validation_data: Any = None,
          shuffle: bool = True, class_weight: Any = None,
          sample_weight: Any = None, initial_epoch: int = 0, **kwargs: Any,
         ) -> keras.callbacks.History:
    """`keras.Model.fit` on images, or images and conditions.

    Args:
      x: uint8 `[N, H, W, C]`; or a `dict` of them, `'images'`, and conditions;
        or what yields batches: a `tf.data.Dataset`, a generator or a
        `keras.utils.PyDataset` of images, `(images, labels)`,
        `(images, {condition: value})`, or such a `dict`.
      y: Labels `[N]` or `[N, 1]`, or a `dict` of conditions.
      batch_size: As in Keras, like those that follow.
      epochs: Number of epochs.
      verbose: Whether to show progress, and to say that a first step takes
        time.
      callbacks: List of callbacks; what watches bits/dim need not be told
        that less is better.
      validation_split: Share of arrays to validate with.
      validation_data: What to validate with: what `x` can be, or `(x, y)`.
      shuffle: Whether to shuffle arrays.
      class_weight: Not taken: all images count alike.
      sample_weight: Not taken.
      initial_epoch: Epoch to begin with.
      **kwargs: Other keyword arguments of `keras.Model.fit`.

    Returns:
      history: Its `history` has, for each epoch, the loss and bits/dim over
        the steps that were finite, nan if there was none, and how many were
        skipped.

    Raises:
      RuntimeError: If the flow needs `adapt` first.
      TypeError: If images are not uint8, or conditions are missing.
      ValueError: If shapes or values are wrong, examples are weighted,
        there is no image, or a generator, without `steps_per_epoch`, is to
        last for several epochs.
    """
    self._check_trains('fit', sample_weight, class_weight)
    several = epochs - initial_epoch > 1
    for name, data, steps in (
        ('x', x, 'steps_per_epoch'),
        ('validation_data', validation_data, 'validation_steps')):
      if several and kwargs.get(steps) is None and _is_read_once(data):
        # Keras would go on with the two batches that it looked at.
        raise ValueError(
            f'`{name}` can be read once, but there are '
            f'{epochs - initial_epoch} epochs: give `{steps}`, or a '
            '`tf.data.Dataset` or a `keras.utils.PyDataset`.')
    if inputs_lib.is_batches(x) and not isinstance(x, keras.utils.PyDataset):
      # It shuffles itself; asked to, Keras says that it cannot.
      shuffle = False
    x = self._checks.checked_data(x, y)
    if validation_data is not None:
      validation_data = self._checks.checked_data(validation_data)
      if isinstance(validation_data, dict):
        validation_data = (validation_data,)
    callbacks = _with_directions(callbacks)
    # Within a branch, and by workers that must agree, nothing can be built.
    with self.distribute_strategy.scope():
      if not self.optimizer.built:
        self.optimizer.build(self.trainable_weights)
    if verbose and self.train_function is None and not self.run_eagerly:
      print('Tracing the first step: this takes seconds, or minutes for a '
            'large flow.', flush=True)
    history = super().fit(
        x, None, batch_size, epochs, verbose, callbacks, validation_split,
        validation_data, shuffle, initial_epoch=initial_epoch, **kwargs)
    if initial_epoch < epochs and history.epoch and not history.history:
      raise ValueError('`x` yields no batch: at least one image is needed.')
    return history

  def evaluate(self, x: Any = None, y: Any = None,
               batch_size: int | None = None, verbose: Any = 'auto',
               sample_weight: Any = None, **kwargs: Any):
    """`keras.Model.evaluate` on what `fit` takes."""
    _check_weights(sample_weight)
    # Within `fit` Keras has made its iterator, and gives the data once more.
    if not kwargs.get('_use_cached_eval_dataset'):
      x, y = self._checks.checked_data(x, y), None
    results = super().evaluate(x, y, batch_size, verbose, **kwargs)
    if results in ([], {}):
      name = 'validation_data' if '_use_cached_eval_dataset' in kwargs else 'x'
      raise ValueError(
          f'`{name}` yields no batch: at least one image is needed.')
    return results

  def predict(self, x: Any, batch_size: int | None = None,
              verbose: Any = 'auto', **kwargs: Any):
    """`keras.Model.predict` on what `fit` takes as `x`."""
    return super().predict(
        self._checks.checked_data(x), batch_size, verbose, **kwargs)

  def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                     class_weight: Any = None, return_dict: bool = False):
    self._check_trains('train_on_batch', sample_weight, class_weight)
    return super().train_on_batch(
        self._checks.checked_data(x, y), return_dict=return_dict)

  def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                    return_dict: bool = False):
    _check_weights(sample_weight)
    return super().test_on_batch(
        self._checks.checked_data(x, y), return_dict=return_dict)

  def predict_on_batch(self, x: Any):
    return super().predict_on_batch(self._checks.checked_data(x))

  def _check_trains(self, method, sample_weight, class_weight):
    self._assert_compile_called(method)
    if not self.distribution.bijector.initialized:
      raise RuntimeError(
          'The flow has not been initialised from data: call '
          '`model.adapt(images)` with a batch of training images before '
          f'`model.{method}`.')
    _check_weights(sample_weight, class_weight)

  def train_step(self, data):
    inputs = self.pack(data)
    weights = self.trainable_weights
    updates = execution.Updates()
    with tf.GradientTape() as tape:
      outputs = self(inputs, training=True, updates=updates)
      loss = self.compute_loss(x=inputs, y_pred=outputs)
      scaled_loss = self.optimizer.scale_loss(loss)
    # A classifier's head that has no part in the loss has none.
    gradients = [
        tf.zeros(weight.shape, weight.dtype) if gradient is None else gradient
        for gradient, weight in zip(
            tape.gradient(scaled_loss, weights), weights)]
    loss, *gradients = replicas.mean([loss, *gradients])

    finite = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(v)) for v in (loss, *gradients)])
    # The optimizer adds up what the replicas give it.
    gradients = [gradient / replicas.count() for gradient in gradients]
    if _scales_loss(self.optimizer):
      # It looks itself, and lowers its scale where a gradient is not finite.
      self.optimizer.apply(
          [tf.where(finite, g, math.nan) for g in gradients], weights)
    else:
      replicas.apply_if(finite, self.optimizer, gradients, weights)
    updates.apply_where(finite)
    self._count_skipped(tf.cast(~finite, tf.int64))

    # A scale that is too high spoils gradients, and not what is measured.
    counts = (tf.math.is_finite(loss) if _scales_loss(self.optimizer)
              else finite)
    loss, outputs = tf.nest.map_structure(
        lambda value: tf.where(counts, value, tf.zeros_like(value)),
        (loss, outputs))
    weight = tf.cast(counts, loss.dtype)
    rows = tf.cast(tf.shape(inputs['images'])[0], loss.dtype)
    self._loss_tracker.update_state(loss, sample_weight=rows * weight)
    return self._for_each_worker(self.compute_metrics(
        inputs, None, outputs, sample_weight=weight))

  def _count_skipped(self, skipped):
    """Counts this step, 1 if it was skipped and 0 if not."""
    self.skipped_steps.assign_add(skipped)
    self.skipped_in_a_row.assign((self.skipped_in_a_row + 1) * skipped)
    self._skipped_in_epoch.update_state(skipped / replicas.count())

  def test_step(self, data):
    logs = self._for_each_worker(super().test_step((self.pack(data),)))
    del logs['skipped_steps']  # of training
    return logs

  def predict_step(self, data):
    return super().predict_step((self.pack(data),))

  def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None,
                   training=True) -> tf.Tensor:
    """Mean bits/dim, the weighted cross-entropy, and the networks' losses."""
    loss = tf.reduce_mean(y_pred['bits_per_dim'])
    if self.weight_y:
      cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
          _labels(x), y_pred['class_logits'])
      loss += self.weight_y * tf.reduce_mean(cross_entropy) / math.log(2.)
    if self.losses:
      loss += tf.add_n(
          [tf.cast(extra, loss.dtype) for extra in self.losses])
    return loss

  def compute_metrics(self, x, y, y_pred, sample_weight=None):
    """Updates and returns bits/dim and, with a classifier, its error."""
    self._bits_per_dim.update_state(
        y_pred['bits_per_dim'], sample_weight=sample_weight)
    if self.weight_y:
      predicted = tf.argmax(y_pred['class_logits'], -1, tf.int32)
      self._classification_error.update_state(
          predicted != _labels(x), sample_weight=sample_weight)
    return self.get_metrics_result()

  def get_metrics_result(self) -> dict[str, tf.Tensor]:
    """Means over the steps that counted, nan if there was none."""
    logs = super().get_metrics_result()
    none = tf.equal(self._bits_per_dim.count, 0.)
    return {name: value if name == 'skipped_steps' else
            tf.where(none, tf.cast(math.nan, value.dtype), value)
            for name, value in logs.items()}

  def save_own_variables(self, store):
    super().save_own_variables(store)
    # Keras leaves it out; with it, training goes on with the noise it would
    # have had.
    store['noise_seeds'] = self._noise_seeds.state.numpy()
    store['skipped_steps'] = self.skipped_steps.numpy()
    store['network_policy'] = np.frombuffer(
        self.network_policy.encode(), np.uint8)

  def load_own_variables(self, store):
    store = {name: store[name] for name in store.keys()}
    self._noise_seeds.state.assign(store.pop('noise_seeds'))
    self.skipped_steps.assign(store.pop('skipped_steps'))
    policy = bytes(np.asarray(store.pop('network_policy'))).decode()
    if policy != self.network_policy:
      warnings.warn(
          f'The weights were saved with networks in {policy}, but those of '
          f'this model are in {self.network_policy}: training goes on in '
          'another precision. To keep it, build the flow after '
          f'`keras.config.set_dtype_policy({policy!r})`.', stacklevel=2)
    super().load_own_variables(store)

  def _maybe_symbolic_build(self, iterator=None, data_batch=None):
    """Does nothing: all is built, and workers cannot share a first batch."""

  def _for_each_worker(self, logs):
    """`logs` as Keras takes the mean of them over several workers."""
    resolver = self.distribute_strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec():
      return logs
    return {name: tf.reshape(value, [1]) for name, value in logs.items()}


class _TellsOfSkippedSteps(keras.callbacks.Callback):
  """Warns at the end of an epoch that had steps that were not finite."""

  def on_epoch_end(self, epoch, logs=None):
    skipped = int((logs or {}).get('skipped_steps', 0))
    if skipped:
      warnings.warn(
          f'Steps of epoch {epoch + 1} that were not finite: {skipped}. They '
          'changed nothing, and loss and bits/dim are of the others. A lower '
          'learning rate, or an optimizer with `global_clipnorm`, helps.',
          stacklevel=2)


def _with_directions(callbacks):
  """Callbacks that know that less is better, and one that tells of skips."""
  if isinstance(callbacks, keras.callbacks.CallbackList):
    known = callbacks.callbacks
    callbacks.append(_TellsOfSkippedSteps())
  else:
    known = [] if callbacks is None else tf.nest.flatten(callbacks)
    callbacks = [*known, _TellsOfSkippedSteps()]
  for callback in known:
    monitor = str(getattr(callback, 'monitor', '')).removeprefix('val_')
    if monitor in _LESS_IS_BETTER and getattr(callback, 'mode', '') == 'auto':
      callback.mode = 'min'
  return callbacks


def _check_weights(sample_weight, class_weight=None):
  for argument, value in (
      ('sample_weight', sample_weight), ('class_weight', class_weight)):
    if value is not None:
      raise ValueError(
          f'`{argument}` is given, but a FlowModel weighs all images alike.')


def _is_read_once(data):
  """Whether `data` yields batches, and only Keras's kinds yield them anew."""
  return inputs_lib.is_batches(data) and hasattr(data, '__iter__') and (
      not isinstance(data, (tf.data.Dataset, keras.utils.PyDataset,
                            tf.distribute.DistributedDataset)))


def _scales_loss(optimizer):
  return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def _labels(inputs):
  return tf.cast(tf.reshape(inputs['label'], [-1]), tf.int32)
