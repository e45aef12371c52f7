"""Weights of alike layers, kept in one variable each."""

import tensorflow as tf
import tensorflow_probability as tfp


class Row(tfp.util.DeferredTensor):
  """A view of one row of a stacked variable, which can be assigned.

  `tf.Module` finds the stacked variable through it, and counts it once.
  """

  def __init__(self, stack, row, name):
    """Makes a view.

    Args:
      stack: `tf.Variable` `[K, *shape]`.
      row: Python `int`, which of the `K` rows is seen.
      name: Python `str`.
    """
    super().__init__(stack, lambda values: values[row], dtype=stack.dtype,
                     shape=stack.shape[1:], name=name)
    self.row = row

  @property
  def stack(self):
    """The stacked variable."""
    return self.pretransformed_input

  @property
  def trainable(self):
    """Whether the stacked variable is trainable."""
    return self.stack.trainable

  def assign(self, value):
    """Sets the row, and leaves the others as they are."""
    value = tf.convert_to_tensor(value, self.dtype)
    self.stack.assign(tf.tensor_scatter_nd_update(
        self.stack, [[self.row]], value[None]))
    return self

  def assign_add(self, delta):
    """Adds to the row."""
    return self.assign(self + tf.convert_to_tensor(delta, self.dtype))

  def assign_sub(self, delta):
    """Subtracts from the row."""
    return self.assign(self - tf.convert_to_tensor(delta, self.dtype))


def stack_weights(layers, name):
  """Has alike layers keep their weights in one variable each, `[K, *shape]`.

  Optimizers, checkpoints and graphs then hold as many variables as one layer
  has, however many layers there are.

  Layers whose `stack_key`s differ, or are `None`, keep variables of their own.

  Args:
    layers: List of `K` layers that nothing else uses.
    name: Python `str`, how the names of the variables begin.
  """
  key = layers[0].stack_key
  if key is None or any(layer.stack_key != key for layer in layers):
    return
  rows_of_layers = [[] for _ in layers]
  for weight_name, *weights in zip(
      layers[0].weight_names, *(layer.weights for layer in layers)):
    stack = tf.Variable(
        tf.stack([tf.convert_to_tensor(w) for w in weights]),
        trainable=weights[0].trainable, name=f'{name}/{weight_name}')
    for k, rows in enumerate(rows_of_layers):
      rows.append(Row(stack, k, weight_name.split('/')[-1]))
  for layer, rows in zip(layers, rows_of_layers):
    layer.replace_weights(rows)


def stacked_value(weights):
  """Returns the values of alike weights, `[K, *shape]`, in one tensor."""
  first = weights[0]
  if isinstance(first, Row) and len(weights) == first.stack.shape[0] and all(
      isinstance(weight, Row) and weight.stack is first.stack and
      weight.row == k for k, weight in enumerate(weights)):
    return tf.convert_to_tensor(first.stack)
  return tf.stack([tf.convert_to_tensor(weight) for weight in weights])
