"""Prints what a classifier, trained on real images, sees in a model's.

For example

    python -m training.judge --workdir runs/digits_conditional
    python -m training.judge --workdir runs/faces \\
        --attribute smile,glasses,beard

Of a class-conditional model it prints a line of JSON: how often a support
vector machine sees another class in samples than they were drawn of, and, for
comparison, how often it errs on real images that it has not seen.

With attributes it prints a line of JSON for each of them and each strength:
held-out images that lack the attribute are moved along its direction, and a
neural network says how many have it then, and how many kept each of the
others. The first line is how often it is right on real images.
"""

from absl import flags
import numpy as np
from sklearn import neural_network
from sklearn import svm

import tfp_glow
from training import command
from training import directions as directions_lib
from training import evaluation
from training import groups
from training import metrics
from training import runs

_BATCH_SIZE = 100


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_list(
      'attribute', [], 'Attributes of the data set that images have or lack, '
      'with commas, whose directions are judged.')
  flags.DEFINE_list(
      'strengths', ['1', '2'], 'How far images are moved, with commas.')
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
  if values.attribute:
    held_out = groups.open_split(config, None)
    train = groups.open_split(config, held_out.train_split)
    found = directions_lib.of_attributes(model, train, values.attribute)
    for line in judge_directions(
        model, train, held_out, found,
        command.numbers('strengths', values.strengths), values.max_train):
      print(metrics.as_json(line))
    return
  if 'label' not in model.condition_names:
    raise ValueError(
        f'{values.workdir} has a model that is not class-conditional: there '
        'are no classes to judge its samples by.')
  print(metrics.as_json(judge(
      model, groups.open_split(config, None), values.samples,
      values.temperature, values.max_train, values.seed)))


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
  train, known = images.train_examples(count, seed)
  train_labels = groups.labels_of(known)
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


def judge_directions(model, train, held_out, directions, strengths, max_train):
  """What a classifier sees in images that were moved.

  Args:
    model: `FlowModel`.
    train: `data.Data`, whose images to evaluate on the classifier learns from.
    held_out: `data.Data`, whose images to evaluate on are moved.
    directions: `dict` from attributes, which are yes or no, to arrays `[D]`.
    strengths: List of Python `float`s.
    max_train: Python `int`, images that the classifier learns from at most.

  Returns:
    lines: List of `dict`s. The first has the accuracy on held-out images for
      each attribute; the others the attribute and the strength, the part of
      images that have it (`has`), and of those that are as they were in each
      of the others (`kept`).
  """
  names = list(directions)
  classifier = _multi_label(
      _levels(model, evaluation.images_and_labels(
          train.eval_batches(_BATCH_SIZE))[0][:max_train]),
      groups.yes_or_no(train, names)[:max_train])
  images, labels = evaluation.images_and_labels(
      held_out.eval_batches(_BATCH_SIZE))
  truth = groups.yes_or_no(held_out, names)
  seen = _predict(classifier, _levels(model, images))
  lines = [{'accuracy_on_held_out_images': _by_name(names, seen == truth),
            'held_out_images': len(images)}]
  for number, name in enumerate(names):
    lacking = np.flatnonzero(~truth[:, number])
    moved = np.concatenate([
        tfp_glow.manipulate(
            model, images[rows], directions[name], strengths,
            **groups.conditions(
                model, None if labels is None else labels[rows]))
        for rows in np.split(
            lacking, range(_BATCH_SIZE, len(lacking), _BATCH_SIZE))])
    for column, strength in enumerate(strengths):
      seen = _predict(classifier, moved[:, column])
      kept = _by_name(names, seen == truth[lacking])
      del kept[name]
      lines.append({
          'attribute': name, 'strength': strength,
          'has': float(np.mean(seen[:, number])), 'kept': kept,
          'images': len(lacking)})
  return lines


def markdown(lines):
  """What `judge_directions` returns, as a table.

  Args:
    lines: List of `dict`s.

  Returns:
    table: Python `str`.
  """
  accuracy = lines[0]['accuracy_on_held_out_images']
  rows = [['images', 'have it', *(f'{name} kept' for name in accuracy)],
          ['---'] * (2 + len(accuracy)),
          ['real ones: the classifier is right', '',
           *map(_percent, accuracy.values())]]
  for line in lines[1:]:
    rows.append([
        f'{line["attribute"]}, strength {line["strength"]:g}',
        _percent(line['has']),
        *(_percent(line['kept'].get(name)) for name in accuracy)])
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _percent(part):
  return '' if part is None else f'{100. * part:.1f} %'


def _levels(model, images):
  """Images with the bits that the model knows, as it draws them."""
  shift = 8 - model.num_bits
  return images >> shift << shift


def _multi_label(images, labels):
  """A classifier of several attributes at once."""
  return neural_network.MLPClassifier(
      hidden_layer_sizes=[128], tol=1e-3, n_iter_no_change=3, max_iter=1000,
      random_state=0).fit(_features(images), labels)


def _predict(classifier, images):
  """bool `[N, A]`; scikit-learn drops the axis if there is one attribute."""
  return classifier.predict(_features(images)).reshape(len(images), -1) == 1


def _by_name(names, right):
  return dict(zip(names, np.mean(right, axis=0).tolist()))


def _features(images):
  return images.reshape(len(images), -1) / np.float32(255.)


def _error(classifier, images, labels):
  return float(np.mean(classifier.predict(_features(images)) != labels))


if __name__ == '__main__':
  command.run(define_flags, main)
