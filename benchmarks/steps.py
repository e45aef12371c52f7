"""The train steps and densities that the benchmarks compare.

Each function returns a function without arguments that runs one step and
returns when it is done.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

tfb = tfp.bijectors
tfd = tfp.distributions


def images(batch_size, side=32):
  """Uniform noise in `[-0.5, 0.5)`, `[batch_size, side, side, 3]`."""
  noise = np.random.default_rng(0).random((batch_size, side, side, 3))
  return tf.constant(noise - .5, tf.float32)


def our_glow(steps, width, memory='store', levels=3, side=32,
             policy='float32', permutation='conv1x1'):
  """A Glow, initialised, with nothing at zero, and its distribution."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  flow = tfp_glow.Glow((side, side, 3), levels=levels, steps=steps,
                       width=width, memory=memory, permutation=permutation,
                       seed=0)
  keras.config.set_dtype_policy(before)
  flow.initialize(images(4, side))
  generator = np.random.default_rng(0)
  for variable in flow.trainable_variables:
    variable.assign_add(
        .01 * generator.standard_normal(variable.shape, np.float32))
  return over_normal(flow, side)


def tfb_glow(steps, width, levels=3, side=32):
  """TFP's own Glow of the same shape, with its own default networks."""
  flow = tfb.Glow(
      output_shape=(side, side, 3), num_glow_blocks=levels,
      num_steps_per_block=steps, coupling_bijector_fn=functools.partial(
          tfb.GlowDefaultNetwork, num_hidden=width),
      exit_bijector_fn=tfb.GlowDefaultExitNetwork, seed=0)
  distribution = over_normal(flow, side)
  distribution.log_prob(images(4, side))  # initialises
  return distribution


def our_real_nvp(width, residual_blocks):
  """A RealNVP and its distribution."""
  return over_normal(tfp_glow.RealNVP(
      (32, 32, 3), width=width, residual_blocks=residual_blocks, seed=0), 32)


def over_normal(flow, side):
  """The distribution of images that a flow makes of normal variables."""
  return tfd.TransformedDistribution(
      tfd.Sample(tfd.Normal(0., 1.), [side * side * 3]), flow)


def train_step(distribution, batch_size, side=32, jit_compile=False,
               **conditions):
  """Loss and all gradients."""
  variables = distribution.trainable_variables

  @tf.function(autograph=False, jit_compile=jit_compile)
  def step(y):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(
          distribution.log_prob(y, bijector_kwargs=conditions))
    return [loss, *tape.gradient(loss, variables)]

  return functools.partial(_run, step, images(batch_size, side))


def log_prob(distribution, batch_size):
  """The density of a batch."""
  return functools.partial(
      _run, tf.function(distribution.log_prob, autograph=False),
      images(batch_size))


def sample(distribution, batch_size):
  """A batch of samples."""

  @tf.function(autograph=False)
  def draw():
    return distribution.sample(batch_size, seed=1)

  return functools.partial(_run, draw)


def glow_convolutions(steps, width, batch_size, levels=3, side=32):
  """The convolutions of Glow's networks, and nothing else.

  Each network is given its own input, so that none waits for another; forward
  and both gradients.
  """
  inputs, kernels = [], []
  for shape, sizes in _glow_networks(steps, width, levels, side):
    inputs.append(_normal([batch_size, *shape]))
    kernels.append([.05 * _normal(size) for size in sizes])

  def forward(x, kernels):
    for kernel in kernels:
      x = tf.nn.conv2d(x, kernel, 1, 'SAME')
    return x

  return _gradients_alone(forward, inputs, kernels)


def glow_networks(steps, width, batch_size, levels=3, side=32):
  """Glow's networks with biases and rectifiers, one after another.

  Each waits for the one before, as those of a flow do; forward and both
  gradients, and nothing else.
  """
  networks = list(_glow_networks(steps, width, levels, side))
  inputs = [_normal([batch_size, *shape]) for shape, _ in networks]
  weights = [[(.05 * _normal(size), .05 * _normal(size[-1:])) for size in sizes]
             for _, sizes in networks]

  def forward(x, of_network):
    for number, (kernel, bias) in enumerate(of_network, 1):
      x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, 'SAME'), bias)
      if number < len(of_network):
        x = tf.nn.relu(x)
    return x

  @tf.function(autograph=False)
  def step(inputs, weights):
    outputs, before = [], None
    for x, of_network in zip(inputs, weights):
      outputs.append(forward(_after(before, x), of_network))
      before = outputs[-1]
    results = []
    for x, of_network, y in reversed(list(zip(inputs, weights, outputs))):
      upstream = _after(before, tf.ones_like(y))
      sources = tf.nest.flatten([x, of_network])
      results.append(tf.gradients(y, sources, upstream))
      before = results[-1][0]
    return outputs, results

  return functools.partial(_run, step, inputs, weights)


def _after(before, x):
  """`x`, once `before` has been computed."""
  with tf.control_dependencies([] if before is None else [before]):
    return tf.identity(x)


def _glow_networks(steps, width, levels, side):
  """Yields the shape of each network's input and those of its kernels."""
  channels = 3
  for level in range(levels):
    side, channels = side // 2, channels * 4
    half = channels // 2
    for _ in range(steps):
      yield (side, side, half), [
          (3, 3, half, width), (1, 1, width, width), (3, 3, width, channels)]
    if level < levels - 1:
      yield (side, side, half), [(3, 3, half, channels)]
      channels = half


def real_nvp_convolutions(width, residual_blocks, batch_size):
  """The convolutions of RealNVP's networks, and the sums of their skips."""
  networks = [(32, 7, 6, width)] * 3
  networks += [(16, 12, 12, 2 * width)] * 3
  networks += [(16, 13, 12, 2 * width)] * 4
  inputs, kernels = [], []
  for side, size, parameters, filters in networks:
    inputs.append(_normal([batch_size, side, side, size]))
    shapes = [(3, size, filters), (1, filters, filters)]
    shapes += [(3, filters, filters), (3, filters, filters),
               (1, filters, filters)] * residual_blocks
    shapes.append((1, filters, parameters))
    kernels.append([.05 * _normal([k, k, *shape]) for k, *shape in shapes])

  def forward(x, kernels):
    conv_in, skip_in, *blocks, conv_out = kernels
    h = tf.nn.conv2d(x, conv_in, 1, 'SAME')
    skips = [tf.nn.conv2d(h, skip_in, 1, 'SAME')]
    for conv_1, conv_2, skip in zip(*[iter(blocks)] * 3):
      h = tf.nn.conv2d(h, conv_1, 1, 'SAME')
      h = tf.nn.conv2d(h, conv_2, 1, 'SAME')
      skips.append(tf.nn.conv2d(h, skip, 1, 'SAME'))
    return tf.nn.conv2d(tf.add_n(skips), conv_out, 1, 'SAME')

  return _gradients_alone(forward, inputs, kernels)


def _gradients_alone(forward, inputs, kernels):
  """Output and both gradients of each network of its own input."""

  @tf.function(autograph=False)
  def step(inputs, kernels):
    results = []
    for x, of_network in zip(inputs, kernels):
      with tf.GradientTape() as tape:
        tape.watch([x, of_network])
        y = forward(x, of_network)
      # What is upstream is there already: the input's own values.
      upstream = tf.ones_like(y)
      results.append((y, tape.gradient(y, [x, of_network], upstream)))
    return results

  return functools.partial(_run, step, inputs, kernels)


def _run(function, *args):
  """Runs a function, and waits for all that it returns."""
  for value in tf.nest.flatten(function(*args)):
    value.numpy()


def _normal(shape):
  return tf.random.stateless_normal(shape, [0, 0])
