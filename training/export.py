"""Writes a trained model as a SavedModel, for TensorFlow Serving or for C.

For example

    python -m training.export --workdir runs/digits
    python -m training.export --workdir runs/digits --directory models/digits \\
        --direction rounder=runs/digits/direction.npy

writes the next version, a number, into the folder, whole or not at all, so
that a server may be polling it. docs/serving.md tells how to serve it.
"""

from absl import flags
import numpy as np

import tfp_glow
from training import command
from training import evaluation
from training import groups
from training import runs


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_string(
      'directory', None, 'The folder of all versions; by default export in the '
      'working folder.')
  flags.DEFINE_multi_string(
      'direction', [], 'NAME=FILE: an attribute and its direction, as '
      '`python -m training.manipulate` writes it. May be given several times; '
      'the attributes are numbered in this order.')
  flags.DEFINE_integer(
      'examples', 0, 'How many of the images that the recipe evaluates on are '
      'stored with the model, where anyone who has it can read them: '
      '`python -m training.studio` starts from them.', lower_bound=0)
  flags.DEFINE_integer(
      'typical_images', 0, 'Of how many training images the mean bits/dim is '
      'taken and stored, for the signature `score`; 0 leaves that out.',
      lower_bound=0)


def main(values):
  directions = dict(_direction(text) for text in values.direction)
  config, model = runs.load(values.workdir, values.weights)
  examples = None
  if values.examples:
    images, known = groups.draw(
        groups.open_split(config, None).eval_batches(100), values.examples)
    conditions = groups.conditions(model, known)
    examples = (images, conditions) if conditions else images
  typicality = None
  if values.typical_images:
    typicality = evaluation.typicality(config, model, values.typical_images)
  print(tfp_glow.export_saved_model(
      model, runs.results(values.workdir, values.directory, 'export'),
      directions, examples, typicality))


def _direction(text):
  name, separator, path = text.partition('=')
  if not separator:
    raise ValueError(f'--direction={text}: NAME=FILE is needed.')
  try:
    return name, np.load(path)
  except (OSError, ValueError) as error:
    raise ValueError(f'--direction={text}: {error}') from error


if __name__ == '__main__':
  command.run(define_flags, main)
