"""How long a training step waits for its images.

```shell
python -m benchmarks.input_pipeline [--steps 50] [--rounds 5] [--images NAME]
```

trains the recipe for digits, and a Glow of 3 levels, 8 steps and width 64 on
images of 32x32, flipped and shifted as in Glow's runs: uniform noise, or those
of `--images`, a name as in `training/data/`. Each round trains for some steps,
with a clock around what asks for a batch and around what trains on it, and then
takes as many batches with nothing else to do.

`waited` is the time that a step waits for its batch, as a part of the time
that it trains; `alone` is the images per second of the input pipeline alone,
as a multiple of those of training. Both are medians over the rounds. Input
and training share the processor's cores, here as in a run.
"""

import argparse
import dataclasses
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np

import tfp_glow
from training import data

_SIDE = 32
_COLUMNS = '{:<22} {:>10} {:>12} {:>10} {:>8}'


@dataclasses.dataclass(frozen=True)
class Result:
  """What was measured, in medians over the rounds.

  Attributes:
    step_seconds: Python `float`, how long a step trains.
    waited: Python `float`, how long it waits, as a part of that.
    alone: Python `float`, how many times as fast the pipeline is alone.
  """

  step_seconds: float
  waited: float
  alone: float


def measure(batches, train, num_steps, num_rounds, clock=time.perf_counter):
  """Measures waiting and training in turn.

  Args:
    batches: Function that returns a new iterator over batches.
    train: Function of a batch that returns when it has trained on it.
    num_steps: Python `int`, steps of a round.
    num_rounds: Python `int`.
    clock: Function that returns the time in seconds.
      Default value: `time.perf_counter`.

  Returns:
    result: `Result`.
  """
  training, alone = batches(), batches()
  train(next(training))  # traces the step
  next(alone)
  rounds = []
  for _ in range(num_rounds):
    waited = trained = 0.
    for _ in range(num_steps):
      start = clock()
      batch = next(training)
      arrived = clock()
      train(batch)
      waited += arrived - start
      trained += clock() - arrived
    start = clock()
    for _ in range(num_steps):
      next(alone)
    rounds.append((trained / num_steps, waited / trained,
                   (waited + trained) / (clock() - start)))
  return Result(*(statistics.median(column) for column in zip(*rounds)))


def digits():
  """The recipe for digits: its fields of the data, flow, bits and batch."""
  config = data.get_config()
  config.update(name='digits', shift=(0, 1))
  flow = tfp_glow.Glow((8, 8, 1), levels=2, steps=12, width=48, seed=0)
  return config, flow, 4, 100


def colour(name):
  """A small Glow on images of 32x32, augmented in every way."""
  config = data.get_config()
  config.update(name=name, image_size=_SIDE, channels=3, flip=True, shift=.1)
  flow = tfp_glow.Glow((_SIDE, _SIDE, 3), levels=3, steps=8, width=64, seed=0)
  return config, flow, 8, 32


def run(config, flow, num_bits, batch_size, num_steps, num_rounds):
  """Measures one of the above; the arguments are what it returns."""
  images = data.open(config)
  model = tfp_glow.FlowModel(flow, num_bits=num_bits, seed=0)
  examples = images.train_examples(batch_size, seed=0)
  model.adapt(examples[0] if isinstance(examples, tuple) else examples)
  model.compile(keras.optimizers.Adam(1e-4, global_clipnorm=50.))

  def train(batch):
    model.train_on_batch(batch[0] if isinstance(batch, tuple) else batch)

  # A fresh pipeline each time, so that neither reads ahead for the other.
  return measure(lambda: iter(images.train_batches(batch_size, seed=0)), train,
                 num_steps, num_rounds)


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--steps', type=int, default=50, help='steps of a round')
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--images', help='instead of noise, of 32x32')
  arguments = parser.parse_args()
  print(_COLUMNS.format('images', 'batch', 'step', 'waited', 'alone'))
  with tempfile.TemporaryDirectory() as scratch:
    name = arguments.images or _noise(pathlib.Path(scratch) / 'noise.npz')
    for label, (config, *others) in (
        ('digits', digits()),
        (arguments.images or 'noise 32x32', colour(name))):
      config.cache_dir = scratch
      result = run(config, *others, arguments.steps, arguments.rounds)
      print(_COLUMNS.format(
          label, others[-1], f'{1e3 * result.step_seconds:.0f} ms',
          f'{result.waited:.1%}', f'{result.alone:.0f}x'), flush=True)


def _noise(path):
  images = np.random.default_rng(0).integers(
      0, 256, (10_000, _SIDE, _SIDE, 3), np.uint8)
  np.savez(path, images=images)
  return f'npz:{path}'


if __name__ == '__main__':
  main()
