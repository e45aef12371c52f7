"""Writes XLA programs to time where there is a GPU and no TensorFlow.

```shell
python -m benchmarks.hlo OUT [--quick] [--only NAME ...]
python -m benchmarks.hlo --markdown FILE
```

The first makes a folder in `OUT` for each program: train steps (loss, all
gradients, and a plain gradient step, so that weights move) of the Glow of the
paper's CIFAR-10 run, stored and recomputed, in float32 and with networks in
bfloat16, and with 1x1 convolutions in LU form; of models for images of 64x64
and 256x256, recomputed; of a model of width 64, as for a computer without a
GPU; of `tfb.Glow` of the first shape and of that one; and `sample`. Each has
the program as `tf.function(jit_compile=True)` gives it to XLA, its small
arguments, the deviations that large ones are drawn with, and the small outputs
to expect: some megabytes.

```shell
python hlo_runner.py OUT/cifar10_store --reps 50 --json FILE
```

where JAX is (`OUT` has a copy of `hlo_runner.py`) compiles a program for the
device that JAX finds and prints the time of a step, the memory planned, the
share of the device's peak, if it is told it, and whether outputs are equal.
`--markdown` prints the table of the file that its `--json` wrote.
"""

import dataclasses
import json
import math
import pathlib
import re
import shutil
import sys

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from benchmarks import command
from benchmarks import hlo_runner
from benchmarks import steps

_XLA_TYPES = {
    'float32': 'f32', 'float64': 'f64', 'int32': 's32', 'int64': 's64',
    'bool': 'pred', 'uint8': 'u8', 'bfloat16': 'bf16', 'float16': 'f16',
    'uint32': 'u32', 'uint64': 'u64'}
_LEARNING_RATE = 1e-4
# Larger ones are drawn from seeds, so that a program of any size is carried.
# Matrices of 1x1 convolutions up to 64x64 are not: noise hardly inverts.
_MOST_ELEMENTS = 2**17


@dataclasses.dataclass(frozen=True)
class Program:
  """What is dumped.

  Attributes:
    image_side: Python `int`, height and width.
    levels: Python `int`.
    steps: Python `int`, of each level.
    width: Python `int`, channels inside the networks.
    batch_size: Python `int`.
    memory: Python `str`, `'store'` or `'recompute'`.
    policy: Python `str`, Keras's dtype policy of the networks.
    permutation: Python `str`, `Glow`'s argument.
    kind: Python `str`, `'train_step'` or `'sample'`.
    of_tfp: Python `bool`, whether it is `tfb.Glow`.
  """

  image_side: int = 32
  levels: int = 3
  steps: int = 32
  width: int = 512
  batch_size: int = 64
  memory: str = 'store'
  policy: str = 'float32'
  permutation: str = 'conv1x1'
  kind: str = 'train_step'
  of_tfp: bool = False


PROGRAMS = {
    'cifar10_store': Program(),
    'cifar10_recompute': Program(memory='recompute'),
    'cifar10_store_bfloat16': Program(policy='mixed_bfloat16'),
    'cifar10_recompute_bfloat16': Program(
        memory='recompute', policy='mixed_bfloat16'),
    'cifar10_store_lu': Program(permutation='lu'),
    'cifar10_recompute_8_steps': Program(memory='recompute', steps=8),
    'side64_recompute': Program(
        64, levels=4, steps=48, batch_size=16, memory='recompute'),
    'side256_recompute': Program(
        256, levels=6, batch_size=2, memory='recompute'),
    'cifar10_sample': Program(kind='sample'),
    'cifar10_tfb_glow': Program(of_tfp=True),
    'small_store': Program(steps=8, width=64, batch_size=32),
    'small_store_lu': Program(
        steps=8, width=64, batch_size=32, permutation='lu'),
    'small_tfb_glow': Program(steps=8, width=64, batch_size=32, of_tfp=True),
}


def make(program):
  """The function of a program, and its arguments.

  Args:
    program: `Program`.

  Returns:
    function: `tf.function` compiled by XLA.
    arguments: List of `Tensor`.
  """
  if program.of_tfp:
    distribution = steps.tfb_glow(
        program.steps, program.width, program.levels, program.image_side)
  else:
    distribution = steps.our_glow(
        program.steps, program.width, program.memory, program.levels,
        program.image_side, program.policy, program.permutation)

  if program.kind == 'sample':
    size = 3 * program.image_side**2
    latents = tf.constant(np.random.default_rng(0).standard_normal(
        (program.batch_size, size), np.float32))
    bijector = distribution.bijector

    def sample(latents):
      return bijector.forward(latents)

    return tf.function(sample, jit_compile=True, autograph=False), [latents]

  variables = distribution.trainable_variables
  conditions = {} if program.of_tfp else {'training': True}

  def train_step(images):
    with tf.GradientTape() as tape:
      loss = -tf.reduce_mean(
          distribution.log_prob(images, bijector_kwargs=conditions)) / (
              3 * program.image_side**2)
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
      variable.assign_sub(_LEARNING_RATE * gradient)
    return loss

  return tf.function(train_step, jit_compile=True, autograph=False), [
      steps.images(program.batch_size, program.image_side)]


def dump(function, arguments, folder, run=True, **description):
  """Writes the XLA program of `function(*arguments)`.

  Args:
    function: `tf.function` with `jit_compile=True`.
    arguments: List of `Tensor`.
    folder: `pathlib.Path`, which is made.
    run: Python `bool`, whether to run the program here and write what it
      gives. Default value: `True`.
    **description: What JSON can tell, written beside.

  Raises:
    ValueError: If the program's parameters cannot be told apart.
  """
  arguments = [_redrawn(k, value) for k, value in enumerate(arguments)]
  concrete = function.get_concrete_function(*arguments)
  compiler_ir = function.experimental_get_compiler_ir(*arguments)
  program = _without_copies(compiler_ir(stage='hlo_serialized'))
  head = compiler_ir(stage='hlo').partition('\n')[0]
  parameters = _parameters(concrete, arguments, head)
  # What a step assigns comes back as a further output, in its parameter's
  # place.
  aliases = {}
  if found := re.search(r'input_output_alias=\{(.*?)\}, entry', head):
    aliases = {int(output): int(parameter) for output, parameter in re.findall(
        r'\{(\d+)\}: \((\d+), \{\}', found[1])}

  for k, (_, value) in enumerate(parameters):
    if isinstance(value, tf.Variable):
      value.assign(_redrawn(k, value))
  folder.mkdir(parents=True, exist_ok=True)
  (folder / hlo_runner.PROGRAM).write_bytes(program)
  _save_small(folder / hlo_runner.ARGUMENTS, [v for _, v in parameters])
  large = {k: (value.shape.as_list(), _deviation(value))
           for k, (_, value) in enumerate(parameters) if _is_large(value)}
  if run:
    results = tf.nest.flatten(function(*arguments))
    updated = [parameters[aliases[output]][1] for output in sorted(aliases)]
    _save_small(folder / hlo_runner.RESULTS, [*results, *updated])
  (folder / hlo_runner.DESCRIPTION).write_text(json.dumps({
      'parameters': [name for name, _ in parameters],
      'aliases': sorted(aliases.items()), 'drawn': large,
      'tensorflow': tf.__version__,
      **description}, indent=1) + '\n')


def _parameters(concrete, arguments, head):
  """Names and values of the program's parameters, in their order."""
  layout = re.sub(r'/\*.*?\*/', '', head.partition(
      'entry_computation_layout={(')[2].partition(')->')[0])
  needed = [(kind, tuple(int(size) for size in sizes.split(',') if size))
            for kind, sizes in re.findall(r'(\w+)\[([\d,]*)\]', layout)]
  variables = {id(v.handle): v for v in concrete.variables}
  candidates = [(f'argument {k}', a) for k, a in enumerate(arguments)]
  constants = []
  for outer, _ in concrete.graph.captures:
    variable = variables.get(id(outer))
    if variable is None:
      constants.append(len(candidates))
      candidates.append(('constant', outer))
    else:
      candidates.append((variable.name, variable))
  # XLA makes some captured constants, shapes and axes, part of the program.
  dropped = len(candidates) - len(needed)
  parameters = []
  for k, (name, value) in enumerate(candidates):
    like = (_XLA_TYPES[value.dtype.name], tuple(value.shape))
    fits = len(parameters) < len(needed) and needed[len(parameters)] == like
    if k in constants and dropped and (not fits or value.dtype.is_integer):
      dropped -= 1
    elif fits:
      parameters.append((name, value))
    else:
      raise ValueError(
          f'Parameter {len(parameters)} of the program does not fit {name}, '
          f'which is {like}.')
  return parameters


def _without_copies(serialised):
  """A program with reshapes that change nothing in place of copies.

  JAX 0.11 reads programs as StableHLO, which has none.
  """
  module = hlo_pb2.HloModuleProto.FromString(serialised)
  for computation in module.computations:
    for instruction in computation.instructions:
      if instruction.opcode == 'copy':
        instruction.opcode = 'reshape'
  return module.SerializeToString()


def _is_large(value):
  return value.dtype == tf.float32 and (
      value.shape.num_elements() > _MOST_ELEMENTS)


def _deviation(value):
  """The deviation of a value, as a power of two, that of its redraw too."""
  deviation = float(np.std(value.numpy()))
  return 2.**round(math.log2(deviation)) if deviation else 0.


def _redrawn(k, value):
  """A large value as the runner draws it, another as it is."""
  if not _is_large(value):
    return value
  return tf.constant(hlo_runner.draw(
      k, value.shape.as_list(), _deviation(value)))


def _save_small(path, values):
  np.savez(path, **{str(k): value.numpy() for k, value in enumerate(values)
                    if not _is_large(value)})


def convolution_flops(program):
  """Operations of a train step's convolutions: forward and both gradients."""
  side, channels, total = program.image_side, 3, 0
  for level in range(program.levels):
    side, channels = side // 2, channels * 4
    width = program.width
    weights = 9 * channels // 2 * width + width**2 + 9 * width * channels
    total += program.steps * side**2 * weights
    if level < program.levels - 1:
      total += side**2 * 9 * channels // 2 * channels
      channels //= 2
  return 3 * 2 * total * program.batch_size


def markdown(rows):
  """What `hlo_runner.py` measured, as a Markdown table."""
  lines = [
      '| program | ms a step | images/s | TFLOP/s in convolutions | '
      'compiled in | planned memory |', '| --- ' * 6 + '|']
  lines += [
      f'| `{row["program"]}` | {row["milliseconds"]:.1f} | '
      f'{row["images_per_second"]:,.0f} | '
      f'{_number(row["convolution_tflops"])} | '
      f'{row["compile_seconds"]:.0f} s | {row["planned_mebibytes"]:,.0f} MiB |'
      for row in rows]
  return '\n'.join(lines)


def _number(value):
  return f'{value:.0f}' if value else ''


def main(argv=None):
  """Writes the programs, or prints the table.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.hlo', __doc__)
  parser.add_argument('out', type=pathlib.Path, nargs='?',
                      help='folder to write to')
  parser.add_argument('--quick', action='store_true',
                      help='small models, to see that it works')
  parser.add_argument('--only', nargs='+', choices=PROGRAMS, metavar='NAME',
                      default=list(PROGRAMS), help=', '.join(PROGRAMS))
  parser.add_argument('--no-run', action='store_true',
                      help='run nothing here: no results to compare with')
  parser.add_argument('--markdown', type=pathlib.Path, metavar='JSON',
                      help='write nothing: print this file as Markdown')
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown(json.loads(args.markdown.read_text())))
    return 0
  if args.out is None:
    parser.error('OUT is needed, or --markdown')
  for name in args.only:
    program = PROGRAMS[name]
    if args.quick:
      program = dataclasses.replace(
          program, levels=2, steps=1, width=4, batch_size=2, image_side=8)
    function, arguments = make(program)
    flops = 0 if program.kind == 'sample' else convolution_flops(program)
    dump(function, arguments, args.out / name, not args.no_run,
         batch_size=program.batch_size, convolution_flops=flops,
         policy=program.policy)
    size = sum(file.stat().st_size for file in (args.out / name).iterdir())
    print(f'{args.out / name}: {size / 2**20:.1f} MiB', flush=True)
  shutil.copy(hlo_runner.__file__, args.out)
  return 0


if __name__ == '__main__':
  sys.exit(main())
