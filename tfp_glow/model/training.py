"""Keras's training of a flow: steps, loss, metrics, several workers."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_glow import execution
from tfp_glow import replicas


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
    self.weight_y = weight_y
    self._noise_seeds = keras.random.SeedGenerator(seed)
    self._bits_per_dim = keras.metrics.Mean('bits_per_dim')
    self._classification_error = (
        keras.metrics.Mean('classification_error') if weight_y else None)
    self.skipped_steps, self.skipped_in_a_row = (
        tf.Variable(
            0, dtype=tf.int64, trainable=False, name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        for name in ('skipped_steps', 'skipped_in_a_row'))

  @property
  def training_state(self) -> list[tf.Variable]:
    """What training goes on from, beside the weights.

    The state of the dequantisation noise, the number of steps skipped because
    they were not finite, and how many of them were the last ones in a row.
    """
    return [self._noise_seeds.state.value, self.skipped_steps,
            self.skipped_in_a_row]

  def fit(self, x: Any = None, y: Any = None, **kwargs: Any):
    """`keras.Model.fit` on images, or images and labels.

    Args:
      x: uint8 `[N, H, W, C]`, or a `tf.data.Dataset` that yields images, or
        `(images, labels)`, or `(images, {condition: value})`.
      y: Labels `[N]`, or a `dict` of conditions.
      **kwargs: Keyword arguments of `keras.Model.fit`.

    Returns:
      history: `keras.callbacks.History`.

    Raises:
      RuntimeError: If the flow needs `adapt` first.
      TypeError: If images are not uint8, or labels are missing.
      ValueError: If shapes are wrong, or examples are weighted.
    """
    if not self.distribution.bijector.initialized:
      raise RuntimeError(
          'The flow has not been initialised from data: call '
          '`model.adapt(images)` with a batch of training images before '
          '`model.fit`.')
    for argument in ('sample_weight', 'class_weight'):
      if kwargs.get(argument) is not None:
        raise ValueError(
            f'`{argument}` is given, but a FlowModel weighs all images alike.')
    if isinstance(x, tf.data.Dataset):
      # A data set shuffles itself; asked to, Keras says that it cannot.
      kwargs['shuffle'] = False
    elif hasattr(x, 'dtype'):
      self._checks.checked_images(x)
    # Within a branch, and by workers that must agree, nothing can be built.
    with self.distribute_strategy.scope():
      if not self.optimizer.built:
        self.optimizer.build(self.trainable_weights)
    return super().fit(x, y, **kwargs)

  def train_step(self, data):
    inputs = self.pack(data)
    weights = self.trainable_weights
    updates = execution.Updates()
    with tf.GradientTape() as tape:
      outputs = self(inputs, training=True, updates=updates)
      loss = self.compute_loss(x=inputs, y_pred=outputs)
      scaled_loss = self.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled_loss, weights)
    loss, *gradients = replicas.mean([loss, *gradients])

    finite = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(v)) for v in (loss, *gradients)])
    # The optimizer adds up what the replicas give it.
    gradients = [gradient / replicas.count() for gradient in gradients]
    replicas.apply_if(finite, self.optimizer, gradients, weights)
    updates.apply_where(finite)
    skipped = tf.cast(~finite, tf.int64)
    self.skipped_steps.assign_add(skipped)
    self.skipped_in_a_row.assign((self.skipped_in_a_row + 1) * skipped)

    loss, outputs = tf.nest.map_structure(
        lambda value: tf.where(finite, value, tf.zeros_like(value)),
        (loss, outputs))
    counted = tf.cast(finite, loss.dtype)
    rows = tf.cast(tf.shape(inputs['images'])[0], loss.dtype)
    self._loss_tracker.update_state(loss, sample_weight=rows * counted)
    return self._for_each_worker(self.compute_metrics(
        inputs, None, outputs, sample_weight=counted))

  def test_step(self, data):
    return self._for_each_worker(super().test_step((self.pack(data),)))

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

  def save_own_variables(self, store):
    super().save_own_variables(store)
    # Keras leaves it out; with it, training goes on with the noise it would
    # have had.
    store['noise_seeds'] = self._noise_seeds.state.numpy()
    store['skipped_steps'] = self.skipped_steps.numpy()

  def load_own_variables(self, store):
    store = {name: store[name] for name in store.keys()}
    self._noise_seeds.state.assign(store.pop('noise_seeds'))
    self.skipped_steps.assign(store.pop('skipped_steps'))
    super().load_own_variables(store)

  def _maybe_symbolic_build(self, iterator=None, data_batch=None):
    """Does nothing: all is built, and workers cannot share a first batch."""

  def _for_each_worker(self, logs):
    """`logs` as Keras takes the mean of them over several workers."""
    resolver = self.distribute_strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec():
      return logs
    return {name: tf.reshape(value, [1]) for name, value in logs.items()}


def _labels(inputs):
  return tf.cast(tf.reshape(inputs['label'], [-1]), tf.int32)
