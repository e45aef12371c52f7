"""Prints how often a classifier sees the class that samples were drawn of.

For example

    python -m training.judge --workdir runs/digits_conditional

A support vector machine learns the classes from the real training images, and
then says what it sees in samples of a class-conditional model. What it prints
is one line of JSON: its error on the samples, and, for comparison, on the real
images that it has not seen.
"""

from absl import flags
import numpy as np
from sklearn import svm

from training import command
from training import data
from training import evaluation
from training import metrics
from training import runs

_BATCH_SIZE = 100


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_integer(
      'samples', 1000, 'How many samples, of all classes alike.',
      lower_bound=1)
  flags.DEFINE_float(
      'temperature', 1., 'Factor of the latents.', lower_bound=0.)
  flags.DEFINE_integer(
      'max_train', 10_000, 'Training images that the classifier learns from, '
      'at most.', lower_bound=1)
  flags.DEFINE_integer('seed', 0, 'Of the samples.')


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  if 'label' not in model.condition_names:
    raise ValueError(
        f'{values.workdir} has a model that is not class-conditional: there '
        'are no classes to judge its samples by.')
  print(metrics.as_json(judge(
      model, data.open(config.data), values.samples, values.temperature,
      values.max_train, values.seed)))


def judge(model, images, num_samples, temperature, max_train, seed):
  """Errors of a classifier on samples and on held-out images.

  Args:
    model: `FlowModel`, class-conditional.
    images: `data.Data`.
    num_samples: Python `int`.
    temperature: Python `float`.
    max_train: Python `int`, images that the classifier learns from at most.
    seed: Python `int`, of the samples.

  Returns:
    results: `dict` of Python numbers.
  """
  count = min(max_train, images.num_train)
  train, train_labels = images.train_examples(count, seed)
  held_out, held_out_labels = evaluation.images_and_labels(
      images.eval_batches(_BATCH_SIZE))
  classifier = svm.SVC().fit(_features(train), train_labels)
  labels = np.arange(num_samples) % images.num_classes
  samples = model.sample(
      num_samples, temperature=temperature, label=labels, seed=seed)
  return {
      'error_on_samples': _error(classifier, samples.numpy(), labels),
      'samples': num_samples,
      'error_on_held_out_images': _error(
          classifier, held_out, held_out_labels),
      'held_out_images': len(held_out),
  }


def _features(images):
  return images.reshape(len(images), -1) / 255.


def _error(classifier, images, labels):
  return float(np.mean(classifier.predict(_features(images)) != labels))


if __name__ == '__main__':
  command.run(define_flags, main)
