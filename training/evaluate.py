"""Prints bits/dim of a trained model, and how well it gives images back.

For example

    python -m training.evaluate --workdir runs/digits
    python -m training.evaluate --workdir runs/digits --split train \\
        --num_samples 16

What it prints is one line of JSON. Bits/dim is that of one sample of
dequantisation noise; with --num_samples, the importance-weighted bound over as
many, which is closer to the truth. The reconstruction error is the largest of
a pixel that went to the latents and back, of a grey scale from 0 to 1.
"""

from absl import flags

from training import command
from training import data
from training import evaluation
from training import groups
from training import histogram
from training import metrics
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  command.define_split()
  flags.DEFINE_integer(
      'max_examples', None, 'How many images; by default all.', lower_bound=1)
  flags.DEFINE_integer(
      'num_samples', None, 'Samples of noise for each image.', lower_bound=1)
  flags.DEFINE_integer('batch_size', 100, 'Images at once.', lower_bound=1)
  flags.DEFINE_integer('seed', 0, 'Of the noise.')
  flags.DEFINE_bool(
      'histogram', False, 'Whether to print, beside it, what independent '
      'histograms of the pixels of the training images reach.')


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  images = groups.open_split(config, values.split)
  batches = images.eval_batches(values.batch_size, values.max_examples)
  bits = evaluation.bits_per_dim(
      model, batches, values.num_samples, values.seed)
  mean, error = evaluation.mean_and_error(bits)
  lost, exact = evaluation.reconstruction(model, batches)
  results = {
      'bits_per_dim': mean,
      'standard_error': error,
      'images': len(bits),
      'reconstruction_error': lost,
      'images_reconstructed_exactly': exact,
  }
  if values.histogram:
    results['histogram_bits_per_dim'] = _histogram(config, batches)
  print(metrics.as_json(results))


def _histogram(config, batches):
  # Augmentation would blur the histograms.
  images = data.open(
      evaluation.unaugmented(config), num_bits=config.model.num_bits)
  train, _ = evaluation.images_and_labels(
      images.train_batches(images.num_train, config.seed).take(1))
  held_out, _ = evaluation.images_and_labels(batches)
  return float(histogram.bits_per_dim(
      train, held_out, config.model.num_bits).mean())


if __name__ == '__main__':
  command.run(define_flags, main)
