"""Draws how bits/dim fell over the steps of training, as a PNG file.

For example

    python -m training.curve --workdir runs/digits

writes learning_curve.png: of the training images, averaged from one checkpoint
to the next, and of the images that the recipe evaluates on.
"""

from absl import flags
from matplotlib import figure

from training import command
from training import metrics
from training import runs


def define_flags():
  command.define_workdir()
  flags.DEFINE_string(
      'output', None, 'The PNG file; by default learning_curve.png in the '
      'working folder.')


def main(values):
  drawn = draw(values.workdir)
  path = runs.results(values.workdir, values.output, 'learning_curve.png')
  drawn.savefig(path)
  print(path)


def draw(workdir):
  """The curves of a working folder.

  Args:
    workdir: Python `str`.

  Returns:
    drawn: `matplotlib.figure.Figure`.

  Raises:
    WrongFolderError: If nothing has been measured in the folder.
    ValueError: If nothing that was measured is finite.
  """
  lines = metrics.read(workdir)
  if not lines:
    raise runs.WrongFolderError(
        f'{workdir} has no metrics.jsonl with a line in it: no training run '
        'has measured anything there yet.')
  drawn = figure.Figure(figsize=(8, 5), layout='constrained', dpi=100)
  axes = drawn.subplots()
  for name, label, marker in (
      ('train_bits_per_dim', 'images trained on', ''),
      ('eval_bits_per_dim', 'held-out images', 'o')):
    points = [(line['step'], line[name]) for line in lines
              if line.get(name) is not None]
    if not points:  # not measured yet, or never finite
      continue
    axes.plot(*zip(*points), label=label, marker=marker)
    if name == 'eval_bits_per_dim':
      axes.annotate(f'{points[-1][1]:.2f}', points[-1], xytext=(0, 8),
                    textcoords='offset points', ha='right')
  if not axes.lines:
    raise ValueError(
        f'No bits/dim of {workdir}/metrics.jsonl is finite, and so there is '
        'no curve to draw.')
  axes.set(xlabel='step of training', ylabel='bits/dim (lower is better)')
  axes.grid(alpha=.3)
  axes.legend()
  return drawn


if __name__ == '__main__':
  command.run(define_flags, main)
