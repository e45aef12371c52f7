"""Trains a Glow on handwritten digits, looks at it, and exports it.

Run from the repository: `python -m training.demo` (or `make demo`).
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
from absl import logging
import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from training import histogram
from training import pictures
from training.data import digits

_WORKDIR = flags.DEFINE_string(
    'workdir', 'runs/demo', 'Where results go; those of an earlier run are '
    'replaced.')
_EPOCHS = flags.DEFINE_integer(
    'epochs', 50, 'How often to go through the training images.',
    lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 100, 'Images in a training step.', lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float(
    'learning_rate', 3e-3, 'The largest rate of the schedule.',
    lower_bound=0.)
_STEPS = flags.DEFINE_integer(
    'steps', 12, 'Steps of flow in each of the two levels.', lower_bound=1)
_WIDTH = flags.DEFINE_integer(
    'width', 48, 'Channels inside the networks.', lower_bound=1)
_JIT_COMPILE = flags.DEFINE_bool(
    'jit_compile', False, 'Whether to compile the training step with XLA.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of everything random.')

_NUM_BITS = 4
_TEMPERATURES = (0.5, 0.7, 1.)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'Unknown argument: {argv[1]}')
  logging.set_verbosity(logging.WARNING)  # TensorFlow tells much at INFO
  run(_WORKDIR.value, _EPOCHS.value, _BATCH_SIZE.value, _LEARNING_RATE.value,
      _STEPS.value, _WIDTH.value, _JIT_COMPILE.value, _SEED.value)


def run(workdir, epochs, batch_size, learning_rate, steps, width, jit_compile,
        seed):
  """Trains, measures, draws and exports; the arguments are the flags."""
  start = time.monotonic()
  workdir = pathlib.Path(workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  keras.utils.set_random_seed(seed)
  (train, _), held_out = digits.load_data()
  images, labels = held_out

  flow = tfp_glow.Glow(
      train.shape[1:], levels=2, steps=steps, width=width, seed=seed)
  model = tfp_glow.FlowModel(flow, num_bits=_NUM_BITS, seed=seed)
  model.adapt(train)
  before = _mean(model.bits_per_dim(images))

  print(f'Training a Glow of {model.count_params():,} weights on '
        f'{len(train):,} digits. The first step takes longest.', flush=True)
  batches = _batches(train, batch_size, seed)
  model.compile(_optimizer(learning_rate, epochs * len(batches)),
                jit_compile=jit_compile)
  model.fit(batches, validation_data=images, epochs=epochs, shuffle=False)

  error, exact = _reconstruction(model, images, seed)
  metrics = {
      'bits_per_dim_histogram': _mean(
          histogram.bits_per_dim(train, images, _NUM_BITS)),
      'bits_per_dim_before': before,
      'bits_per_dim_after': _mean(model.bits_per_dim(images)),
      'bits_per_dim_after_on_training_images': _mean(
          model.bits_per_dim(train)),
      'reconstruction_error': error,
      'images_reconstructed_exactly': exact,
      'held_out_images': len(images),
  }
  _save_pictures(model, images, labels, workdir, seed)
  model.save_weights(workdir / 'model.weights.h5')
  export = _export(model, workdir / 'export')
  metrics['export_difference'] = _check_export(
      export, images, model.log_prob(images))
  metrics['seconds'] = time.monotonic() - start
  (workdir / 'metrics.json').write_text(json.dumps(metrics, indent=2) + '\n')
  _summarise(metrics, workdir)


def _batches(images, batch_size, seed):
  data = tf.data.Dataset.from_tensor_slices(images)
  data = data.shuffle(len(images), seed=seed)
  data = data.map(_shifted_sideways).batch(batch_size)
  return data.prefetch(tf.data.AUTOTUNE)


def _shifted_sideways(image):
  """A digit a pixel to the left or right, or where it was."""
  padded = tf.pad(image, [(0, 0), (1, 1), (0, 0)])
  return tf.image.random_crop(padded, image.shape)


def _optimizer(learning_rate, num_steps):
  warmup_steps = num_steps // 10
  schedule = keras.optimizers.schedules.CosineDecay(
      0., num_steps - warmup_steps, warmup_target=learning_rate,
      warmup_steps=warmup_steps)
  return keras.optimizers.Adam(schedule, global_clipnorm=50.)


def _reconstruction(model, images, seed):
  """What is lost on the way to the latents and back.

  Returns:
    error: The largest error of a dequantised pixel, of a grey scale from 0
      to 1.
    exact: How many images come back with every pixel's level unchanged.
  """
  shift = 8 - model.num_bits
  noise = np.random.default_rng(seed).random(images.shape, np.float32)
  dequantised = (images >> shift) + noise
  bijector = model.distribution.bijector
  # `identity` makes a tensor that the bijector has not seen, so that it
  # computes what it otherwise would remember.
  latents = tf.identity(bijector.inverse(dequantised))
  error = np.abs(bijector.forward(latents) - dequantised).max()
  decoded = model.decode(model.encode(images)).numpy()
  same = np.all(decoded >> shift == images >> shift, axis=(1, 2, 3))
  return float(error) / 2 ** model.num_bits, int(same.sum())


def _save_pictures(model, images, labels, workdir, seed):
  rows = [model.sample(16, temperature=temperature, seed=seed + row)
          for temperature in _TEMPERATURES for row in range(3)]
  names = [name for temperature in _TEMPERATURES
           for name in ('', f'{temperature:g}', '')]
  pictures.save_grid(workdir / 'samples.png', np.stack(rows), names)

  first = [np.flatnonzero(labels == digit)[0] for digit in range(10)]
  ends = np.roll(first, -1)
  rows = tfp_glow.interpolate(model, images[first], images[ends], num_steps=11)
  names = [f'{a} to {b}' for a, b in zip(labels[first], labels[ends])]
  pictures.save_grid(workdir / 'interpolation.png', rows, names)


def _export(model, directory):
  """Exports as version 1, in place of an earlier run's version 1."""
  directory.mkdir(exist_ok=True)
  path = directory / '1'
  with tempfile.TemporaryDirectory(dir=directory, prefix='.') as scratch:
    exported = tfp_glow.export_saved_model(model, scratch)
    if path.exists():
      shutil.rmtree(path)
    os.rename(exported, path)
  return path


def _check_export(export, images, log_prob):
  """The largest difference that a process without tfp_glow finds."""
  with tempfile.TemporaryDirectory() as scratch:
    expected = pathlib.Path(scratch) / 'expected.npz'
    np.savez(expected, images=images, log_prob=log_prob)
    script = pathlib.Path(__file__).with_name('check_export.py')
    # -P keeps this folder's modules out of that process's way.
    result = subprocess.run(
        [sys.executable, '-P', script, export, expected],
        capture_output=True, text=True)
  if result.returncode:
    raise RuntimeError(f'{script} failed:\n{result.stderr}')
  return float(result.stdout)


def _summarise(metrics, workdir):
  print(f"""
Bits/dim of {metrics['held_out_images']} held-out digits, lower is better:
  {metrics['bits_per_dim_histogram']:.3f}  a histogram of each pixel
  {metrics['bits_per_dim_before']:.3f}  Glow before training
  {metrics['bits_per_dim_after']:.3f}  Glow after training
Largest reconstruction error, of a grey scale from 0 to 1: \
{metrics['reconstruction_error']:.1e}
Images that come back exactly: {metrics['images_reconstructed_exactly']} of \
{metrics['held_out_images']}
Log-probabilities of the SavedModel, loaded by a second process without
tfp_glow: the same (largest difference {metrics['export_difference']:.1e} nats)
Done in {metrics['seconds']:.0f} s. In {workdir}:
  samples.png  interpolation.png  metrics.json  model.weights.h5  export/1""")


def _mean(values):
  return float(np.mean(values))


if __name__ == '__main__':
  app.run(main)
