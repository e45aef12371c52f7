"""Puts a trained model into the package, for `tfp_glow.pretrained`.

For example

    python -m training.pretrain --workdir runs/pretrained --name faces

writes NAME.npz, weights, directions of the data set's attributes, and images
that the model was not trained on, and NAME.json, what was measured of it.
`make pretrained` trains it beforehand, by the recipe NAME_pretrained.py.
"""

from absl import flags

from tfp_glow import pretrained_models
from training import command
from training import directions
from training import evaluation
from training import groups
from training import judge
from training import runs

_NUM_EXAMPLES = 64
_STRENGTHS = (1., 2.)


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_string('name', None, 'How the model is called.', required=True)
  flags.DEFINE_string(
      'output', None, 'The folder of the files; by default in the package.')


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  held_out = groups.open_split(config, None)
  train = groups.open_split(config, held_out.train_split)
  found = directions.of_attributes(
      model, train, groups.binary_attributes(train))
  bits = evaluation.bits_per_dim(model, held_out.eval_batches(100))
  mean, error = evaluation.mean_and_error(bits)
  lost, exact = evaluation.reconstruction(model, held_out.eval_batches(100))
  examples, _ = evaluation.images_and_labels(
      held_out.eval_batches(_NUM_EXAMPLES).take(1))
  figures = {
      'bits_per_dim': mean, 'standard_error': error, 'images': len(bits),
      'reconstruction_error': lost, 'images_reconstructed_exactly': exact,
      'judged': judge.judge_directions(
          model, train, held_out, found, _STRENGTHS, train.num_eval)}
  for path in pretrained_models.save_pretrained(
      model, values.name, found, examples, bits, figures, values.output):
    print(path)
  # As the README has them.
  print(f'{mean:.3f} bits/dim on {len(bits):,} faces')
  print(judge.markdown(figures['judged']))


if __name__ == '__main__':
  command.run(define_flags, main)
