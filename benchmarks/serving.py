"""What serving costs, beside the Python model: sizes, load times, latencies.

```shell
python -m benchmarks.serving [--steps 8] [--width 64] [--rounds 21]
                             [--json FILE]
```

exports a Glow of 3 levels for images of 32x32x3 and asks its SavedModel, loaded
by `tf.saved_model.load`, and the model itself, compiled with `tf.function`, for
log-densities and samples, in turn. A ratio is the time of the SavedModel over
that of the model within one round.

The model draws the samples of a batch from one seed, the SavedModel each from
its own.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from benchmarks import pairs
import tfp_glow

SHAPE = (32, 32, 3)
BATCH_SIZES = (1, 8, 64)


def sizes_and_times(model, path):
  """What a SavedModel takes on the disk and until it answers.

  Args:
    model: `FlowModel` that it was made of.
    path: The SavedModel's path.

  Returns:
    figures: `dict` of the bytes of the files and of the weights, of their
      ratio, of the seconds (medians of three) that loading takes and of those
      that the first request and the second take.
  """
  size = sum(file.stat().st_size for file in pathlib.Path(path).rglob('*')
             if file.is_file())
  weights = sum(v.dtype.size * v.shape.num_elements()
                for v in model.distribution.variables)
  image = tf.zeros([1, *SHAPE], tf.uint8)
  rounds = []
  for _ in range(3):
    moments = [time.perf_counter()]
    loaded = tf.saved_model.load(path)
    moments.append(time.perf_counter())
    for _ in range(2):
      loaded.signatures['log_prob'](images=image)['log_prob'].numpy()
      moments.append(time.perf_counter())
    rounds.append(np.diff(moments))
  load, first, second = np.median(rounds, axis=0)
  return {'bytes': size, 'weight_bytes': weights,
          'size_ratio': size / weights, 'load_seconds': float(load),
          'first_request_seconds': float(first),
          'second_request_seconds': float(second)}


def calls(model, path, batch_size):
  """What is compared: pairs of functions, the SavedModel's first.

  Args:
    model: `FlowModel`.
    path: The SavedModel's path.
    batch_size: Python `int`.

  Returns:
    calls: `dict` from names to pairs of functions without arguments.
  """
  signatures = tf.saved_model.load(path).signatures
  generator = np.random.default_rng(0)
  images = tf.constant(
      generator.integers(0, 256, [batch_size, *SHAPE], np.uint8))
  seeds = tf.constant(generator.integers(0, 2**31, [batch_size, 2], np.int32))
  temperature = tf.fill([batch_size], .7)
  log_prob = tf.function(model.log_prob)
  sample = tf.function(
      lambda seed: model.sample(batch_size, temperature=.7, seed=seed))
  return {
      'log_prob': (
          lambda: signatures['log_prob'](images=images)['log_prob'].numpy(),
          lambda: log_prob(images).numpy()),
      'sample': (
          lambda: signatures['sample'](
              seed=seeds, temperature=temperature)['images'].numpy(),
          lambda: sample(seeds[0, 0]).numpy()),
  }


def latencies(model, path, rounds):
  """Yields the rows of all batch sizes, as `(batch_size, pairs.Row)`."""
  for batch_size in BATCH_SIZES:
    for call, sides in calls(model, path, batch_size).items():
      yield batch_size, pairs.row(
          f'SavedModel, {call}, batch {batch_size}', 'Python, tf.function',
          pairs.in_turn(*sides, rounds))


def measure(quick, rounds, normflows=None):
  """Yields the rows; see `train_step.measure`."""
  del normflows
  model = make_model(*((1, 8) if quick else (4, 64)))
  with tempfile.TemporaryDirectory() as folder:
    path = tfp_glow.export_saved_model(model, folder)
    for _, row in latencies(model, path, rounds):
      yield row


def make_model(steps, width):
  """A Glow that has not been trained, less its initialisation."""
  flow = tfp_glow.Glow(SHAPE, levels=3, steps=steps, width=width, seed=0)
  model = tfp_glow.FlowModel(flow, seed=0)
  model.adapt(np.random.default_rng(0).integers(
      0, 256, [16, *SHAPE], np.uint8))
  return model


def main(argv=None):
  """Prints the tables.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = argparse.ArgumentParser(
      prog='python -m benchmarks.serving',
      description='Compares a SavedModel with the Python model it is made of.')
  parser.add_argument('--steps', type=int, default=8,
                      help='steps of flow in each level; default: 8')
  parser.add_argument('--width', type=int, default=64,
                      help='channels in the networks; default: 64')
  parser.add_argument('--rounds', type=int, default=21, help='default: 21')
  parser.add_argument('--json', type=pathlib.Path,
                      help='file to write the figures to as well')
  args = parser.parse_args(argv)
  model = make_model(args.steps, args.width)
  print(f'Glow, 3 levels x {args.steps} steps, width {args.width}, '
        f'{"x".join(map(str, SHAPE))}; {args.rounds} rounds')
  with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    path = tfp_glow.export_saved_model(model, folder)
    figures = {'steps': args.steps, 'width': args.width,
               'rounds': args.rounds,
               'export_seconds': time.perf_counter() - start,
               **sizes_and_times(model, path)}
    print(f'SavedModel of {figures["bytes"] / 1e6:.1f} MB, '
          f'{figures["size_ratio"]:.2f} times its weights; exported in '
          f'{figures["export_seconds"]:.1f} s, loaded in '
          f'{figures["load_seconds"]:.1f} s; first request '
          f'{figures["first_request_seconds"]:.2f} s, second '
          f'{figures["second_request_seconds"]:.3f} s\n')
    print(f'{pairs.header()}  images/s')
    rows, throughputs = [], []
    for batch_size, row in latencies(model, path, args.rounds):
      rows.append(row)
      throughputs.append(1e3 * batch_size / row.ours)
      print(f'{row} {throughputs[-1]:>9.0f}', flush=True)
  if args.json is not None:
    pairs.write_json(args.json, rows, images_per_second=throughputs, **figures)
  return 0


if __name__ == '__main__':
  main()
