"""Train steps: loss and all gradients, beside other libraries, the bare
networks and other precisions.

```shell
python -m benchmarks.train_step [--quick] [--rounds 15] [--json FILE]
                                [--normflows PYTHON]
```

Glow on 32x32x3 with 3 levels, 4 steps, width 64, and a batch of 32. Its
networks are run forward and with both gradients, and nothing else: with biases
and rectifiers, each after the one before as a flow's have to be, and their
convolutions alone, in any order. normflows needs PyTorch: `--normflows` names
an interpreter that has both (`pip install '.[benchmark]'` puts them beside
TensorFlow).
"""

import sys

from benchmarks import command
from benchmarks import pairs
from benchmarks import steps


def measure(quick, rounds, normflows=None):
  """Yields the rows.

  Args:
    quick: Python `bool`, a small model and batch.
    rounds: Python `int`.
    normflows: Path of an interpreter with normflows. Default value: `None`,
      its row is left out.

  Yields:
    row: `pairs.Row`.
  """
  num_steps, width, batch = (1, 8, 4) if quick else (4, 64, 32)
  graph = steps.train_step(steps.our_glow(num_steps, width), batch)
  tfb_glow = steps.tfb_glow(num_steps, width)
  yield pairs.row('train step', 'tfb.Glow', pairs.in_turn(
      graph, steps.train_step(tfb_glow, batch), rounds), goal=.4)
  yield pairs.row('train step', 'its networks one after another', pairs.in_turn(
      graph, steps.glow_networks(num_steps, width, batch), rounds), goal=1.1)
  yield pairs.row('train step', "its networks' convolutions", pairs.in_turn(
      graph, steps.glow_convolutions(num_steps, width, batch), rounds))
  if normflows is not None:
    worker = pairs.Worker('benchmarks.normflows_glow', 'train_step',
                          num_steps, width, batch, python=normflows)
    yield pairs.row('train step', 'normflows (PyTorch)', pairs.in_turn(
        graph, worker, rounds), goal=.6)
    worker.close()
  yield pairs.row('train step, XLA', 'tfb.Glow, XLA', pairs.in_turn(
      steps.train_step(steps.our_glow(num_steps, width), batch,
                       jit_compile=True),
      steps.train_step(tfb_glow, batch, jit_compile=True), rounds), goal=.45)
  for wide in (width,) if quick else (width, 4 * width):
    yield pairs.row(
        f'train step, mixed_bfloat16, width {wide}', 'float32', pairs.in_turn(
            *(steps.train_step(steps.our_glow(num_steps, wide, policy=policy),
                               batch, training=True)
              for policy in ('mixed_bfloat16', 'float32')), rounds))
  width, blocks, batch = (4, 1, 2) if quick else (32, 2, 16)
  yield pairs.row(
      'RealNVP train step', "its networks' convolutions", pairs.in_turn(
          steps.train_step(steps.our_real_nvp(width, blocks), batch,
                           training=True),
          steps.real_nvp_convolutions(width, blocks, batch), rounds), goal=1.5)


def main(argv=None):
  """Prints the table."""
  return command.main(__spec__.name, __doc__, measure, argv)


if __name__ == '__main__':
  sys.exit(main())
