"""Prints bits/dim of a trained model, with its standard error.

For example

    python -m training.evaluate --workdir runs/digits
    python -m training.evaluate --workdir runs/digits --split train \\
        --num_samples 16

Without --num_samples, by one sample of dequantisation noise; with it, by the
importance-weighted bound over as many, which is closer to the truth.
"""

import json

from absl import flags

from training import command
from training import data
from training import evaluation
from training import histogram
from training import runs

_WORKDIR = command.define_workdir()
_WEIGHTS = command.define_weights()
_SPLIT = flags.DEFINE_string(
    'split', None, "Which images, in TFDS's syntax; by default those that the "
    'recipe evaluates on.')
_MAX_EXAMPLES = flags.DEFINE_integer(
    'max_examples', None, 'How many images; by default all.', lower_bound=2)
_NUM_SAMPLES = flags.DEFINE_integer(
    'num_samples', None, 'Samples of noise for each image.', lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 100, 'Images at once.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the noise.')
_HISTOGRAM = flags.DEFINE_bool(
    'histogram', False, 'Whether to print, beside it, what independent '
    'histograms of the pixels of the training images reach.')


def main(argv):
  command.refuse_arguments(argv)
  with command.explained_errors():
    config, model = runs.load(_WORKDIR.value, _WEIGHTS.value)
    if _SPLIT.value is not None:
      config.data.eval_split = _SPLIT.value
    images = data.open(config.data)
    batches = images.eval_batches(_BATCH_SIZE.value, _MAX_EXAMPLES.value)
    bits = evaluation.bits_per_dim(
        model, batches, _NUM_SAMPLES.value, _SEED.value)
  mean, error = evaluation.mean_and_error(bits)
  results = {
      'bits_per_dim': mean, 'standard_error': error, 'images': len(bits)}
  if _HISTOGRAM.value:
    results['histogram_bits_per_dim'] = _histogram(images, config, batches)
  print(json.dumps(results))


def _histogram(images, config, batches):
  train, _ = evaluation.images_and_labels(
      images.train_batches(images.num_train, config.seed).take(1))
  held_out, _ = evaluation.images_and_labels(batches)
  return float(histogram.bits_per_dim(
      train, held_out, config.model.num_bits).mean())


if __name__ == '__main__':
  command.run(main)
