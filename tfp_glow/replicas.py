"""Work that the replicas of a `tf.distribute` strategy do together.

With one replica, or none, each function is what it is without a strategy.
"""

import keras
import tensorflow as tf

from tfp_glow import tf_internals


def count():
  """Python `int`, how many replicas run this step in sync."""
  context = tf.distribute.get_replica_context()
  return 1 if context is None else context.num_replicas_in_sync


def mean(values):
  """Means over the replicas, differentiable.

  Args:
    values: List of `Tensor`s, each of one shape on every replica.

  Returns:
    means: List of `Tensor`s, the same on every replica.
  """
  if count() == 1:
    return values
  return tf.distribute.get_replica_context().all_reduce(
      tf.distribute.ReduceOp.MEAN, values)


def uniform(shape, dtype, seed):
  """Uniform noise that does not depend on how many replicas share the batch.

  Each replica draws the noise of the whole batch and takes its own rows.

  Args:
    shape: int32 `Tensor`, of this replica's part, rows first.
    dtype: Name of the floating point type.
    seed: `keras.random.SeedGenerator`, in one state on every replica.

  Returns:
    noise: `Tensor` of shape `shape`, in [0, 1).
  """
  replicas = count()
  if replicas == 1:
    return keras.random.uniform(shape, dtype=dtype, seed=seed)
  rows = shape[0]
  noise = keras.random.uniform(
      tf.concat([[replicas * rows], shape[1:]], axis=0), dtype=dtype,
      seed=seed)
  replica = tf.distribute.get_replica_context().replica_id_in_sync_group
  return noise[replica * rows:(replica + 1) * rows]


def apply_if(condition, optimizer, gradients, variables):
  """Applies gradients where a condition, one on all replicas, holds.

  Args:
    condition: `bool` scalar `Tensor`.
    optimizer: `keras.optimizers.Optimizer`, built.
    gradients: List of `Tensor`s; the optimizer adds up those of all replicas.
    variables: List of `keras.Variable`s.
  """
  def apply(gradients):
    optimizer.apply(gradients, variables)

  if tf_internals.no_merge_call():
    tf.cond(condition, lambda: apply(gradients), lambda: None)
    return

  # A branch may not leave the replicas' context, as the optimizer does, so
  # that the branches are outside it.
  def apply_across(strategy, condition, gradients):
    condition = strategy.experimental_local_results(condition)[0]

    def on_each_replica():
      strategy.extended.call_for_each_replica(apply, args=(gradients,))

    tf.cond(condition, on_each_replica, lambda: None)

  tf.distribute.get_replica_context().merge_call(
      apply_across, args=(condition, gradients))
