"""How long it takes until something happens: tracing, and importing.

```shell
python -m benchmarks.start [--quick] [--rounds 15] [--json FILE] [--plots DIR]
```

`log_prob` of the Glow of the paper's CIFAR-10 run (3 levels, 32 steps; width
64), the first step of its training, and its train step with
`memory='recompute'` and `'store'`, are traced and run for the first time, a
SavedModel of 8 steps is written and answers, and the library is imported, each
time in a process of its own. `--plots` draws the time over depth.
"""

import functools
import importlib
import sys
import tempfile
import time

from benchmarks import command
from benchmarks import pairs


def first_log_prob(side, num_steps, width, batch_size):
  """Seconds to trace and first run `log_prob`.

  Args:
    side: Python `str`, `'our_glow'` or `'tfb_glow'`.
    num_steps: Python `int`, steps of each of 3 levels.
    width: Python `int`, channels inside the networks.
    batch_size: Python `int`.

  Returns:
    seconds: Python `float`.
  """
  from benchmarks import steps

  make = getattr(steps, side)
  return _seconds_of_second(
      steps.log_prob(make(1, 8), 2),
      steps.log_prob(make(num_steps, width), batch_size))


def first_train_step(memory, num_steps, width, batch_size):
  """The same of a train step; `memory` is `'store'` or `'recompute'`."""
  from benchmarks import steps

  return _seconds_of_second(
      steps.train_step(steps.our_glow(1, 8, memory), 2),
      steps.train_step(
          steps.our_glow(num_steps, width, memory), batch_size))


def first_fit_step(side, num_steps, width, batch_size):
  """Seconds of the first step of training: optimizer, update and all.

  Args:
    side: Python `str`: `'our_glow'` or `'recompute'`, in `FlowModel.fit` with
      Keras's Adam, or `'tfb_glow'`, in a `tf.function` with that of tf-keras.
    num_steps: Python `int`, steps of each of 3 levels.
    width: Python `int`, channels inside the networks.
    batch_size: Python `int`.

  Returns:
    seconds: Python `float`.
  """
  make = functools.partial(fit_step, side)
  return _seconds_of_second(
      make(1, 8, 2), make(num_steps, width, batch_size))


def fit_step(side, num_steps, width, batch_size):
  """Makes a function that trains for a step; arguments as above."""
  if side == 'tfb_glow':
    return _tfb_step(num_steps, width, batch_size)
  return _fit_step('recompute' if side == 'recompute' else 'store',
                   num_steps, width, batch_size)


def compiled_model(image_shape, count, **kwargs):
  """A Glow that `fit` can train, and images for it.

  Args:
    image_shape: `(H, W, C)`.
    count: Python `int`, of the images.
    **kwargs: Keyword arguments of `tfp_glow.Glow`.

  Returns:
    model: `FlowModel`.
    images: uint8 noise `[count, H, W, C]`.
  """
  import keras
  import numpy as np

  import tfp_glow

  images = np.random.default_rng(0).integers(
      0, 256, (count, *image_shape), dtype=np.uint8)
  model = tfp_glow.FlowModel(
      tfp_glow.Glow(image_shape, seed=0, **kwargs), seed=0)
  model.adapt(images)
  model.compile(keras.optimizers.Adam(1e-4), jit_compile=False)
  return model, images


def _fit_step(memory, num_steps, width, batch_size):
  model, images = compiled_model(
      (32, 32, 3), batch_size, levels=3, steps=num_steps, width=width,
      memory=memory)
  return lambda: model.fit(images, batch_size=batch_size, verbose=0)


def _tfb_step(num_steps, width, batch_size):
  import tensorflow as tf
  import tf_keras

  from benchmarks import steps

  distribution = steps.tfb_glow(num_steps, width)
  variables = distribution.trainable_variables
  optimizer = tf_keras.optimizers.Adam(1e-4)
  images = steps.images(batch_size)

  @tf.function(autograph=False)
  def step(y):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(distribution.log_prob(y))
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return loss

  return lambda: step(images).numpy()


def first_answer(side, num_steps, width):
  """Seconds to write a SavedModel, load it and have one image's log-density.

  Args:
    side: Python `str`: `'our_glow'`, with all signatures of
      `export_saved_model`, or `'tfb_glow'`, in a module with `log_prob` and
      `sample`.
    num_steps: Python `int`, steps of each of 3 levels.
    width: Python `int`, channels inside the networks.

  Returns:
    seconds: Python `float`.
  """
  make = _our_answer if side == 'our_glow' else _tfb_answer
  return _seconds_of_second(make(1, 8), make(num_steps, width))


def _our_answer(num_steps, width):
  import tensorflow as tf

  from benchmarks import serving
  import tfp_glow

  model = serving.make_model(num_steps, width)
  image = tf.zeros([1, *serving.SHAPE], tf.uint8)

  def answer():
    with tempfile.TemporaryDirectory() as folder:
      path = tfp_glow.export_saved_model(model, folder)
      loaded = tf.saved_model.load(path)
      loaded.signatures['log_prob'](images=image)['log_prob'].numpy()

  return answer


def _tfb_answer(num_steps, width):
  import tensorflow as tf

  from benchmarks import steps

  distribution = steps.tfb_glow(num_steps, width)
  image = steps.images(1)

  def answer():
    # For batches of one alone: `tfb.Glow` cannot be traced for any number.
    module = tf.Module()
    module.distribution = distribution
    signatures = {
        'log_prob': tf.function(
            lambda images: {'log_prob': distribution.log_prob(images)},
            [tf.TensorSpec(image.shape)], autograph=False),
        'sample': tf.function(
            lambda: {'images': distribution.sample(1)}, [],
            autograph=False)}
    with tempfile.TemporaryDirectory() as folder:
      tf.saved_model.save(module, folder, signatures)
      loaded = tf.saved_model.load(folder)
      loaded.signatures['log_prob'](images=image)['log_prob'].numpy()

  return answer


def _seconds_of_second(first, second):
  # Something else first: what TensorFlow loads on first use is not ours.
  first()
  start = time.perf_counter()
  second()
  return time.perf_counter() - start


def import_seconds(names):
  """Seconds to import modules; TFP's own are loaded when they are used."""
  start = time.perf_counter()
  for name in names:
    importlib.import_module(name)
  return time.perf_counter() - start


def measure(quick, rounds, normflows=None):
  """Yields the rows; see `train_step.measure`."""
  del normflows
  rounds = max(1, rounds // 5)
  width, batch = (8, 2) if quick else (64, 32)
  depths = (1, 2) if quick else (2, 8, 32)

  def in_turn(function, sides, depth):
    return [[pairs.in_fresh_process(
        'benchmarks.start', function, side, depth, width, batch)
             for side in sides] for _ in range(rounds)]

  for depth in depths:
    yield pairs.row(
        f'trace and first log_prob, {depth} steps', 'tfb.Glow',
        in_turn('first_log_prob', ('our_glow', 'tfb_glow'), depth),
        unit='s', goal=.25 if depth == 32 else None)
  for depth, goal in zip(depths[-2:], (.35, .3)):
    yield pairs.row(
        f'first step of fit, {depth} steps', 'tfb.Glow',
        in_turn('first_fit_step', ('our_glow', 'tfb_glow'), depth),
        unit='s', goal=goal)
  # Scanned over, and not.
  yield pairs.row(
      f'trace, first train step, {depths[-1]} steps',
      f'stored, {depths[-1]} steps',
      in_turn('first_train_step', ('recompute', 'store'), depths[-1]),
      unit='s')
  yield pairs.row(
      f'export and first answer, {depths[1]} steps', 'tfb.Glow',
      [[pairs.in_fresh_process('benchmarks.start', 'first_answer', side,
                               depths[1], width)
        for side in ('our_glow', 'tfb_glow')] for _ in range(rounds)],
      unit='s')
  tfp = ['tensorflow_probability.python.bijectors',
         'tensorflow_probability.python.distributions']
  yield pairs.row('import tfp_glow', 'TFP, bijectors and distributions', [
      [pairs.in_fresh_process('benchmarks.start', 'import_seconds', names)
       for names in (['tfp_glow'], tfp)]
      for _ in range(rounds)], unit='s', goal=1.05)


def main(argv=None):
  """Prints the table."""
  return command.main(__spec__.name, __doc__, measure, argv)


if __name__ == '__main__':
  sys.exit(main())
