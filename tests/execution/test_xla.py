"""Memory that XLA plans for a flow that reconstructs its activations."""

import re

import numpy as np
import tensorflow as tf

from tests.execution import test_segments
import tfp_glow as tg


def planned_bytes(function, *arguments):
  """The most that is alive at once in the order that XLA gave a program."""
  program = function.experimental_get_compiler_ir(*arguments)(
      stage='optimized_hlo')
  assert 'is_scheduled=true' in program
  lines = re.findall(
      r'^  (?:ROOT )?%(\S+) = f32\[([\d,]*)\]\S* ([\w-]+)\((.*?)\)',
      program[program.index('\nENTRY'):], re.MULTILINE)
  sizes, made, used = {}, {}, {}
  for line, (name, shape, kind, operands) in enumerate(lines):
    if kind not in ('parameter', 'constant', 'bitcast'):
      sizes[name] = 4 * np.prod([int(n) for n in shape.split(',') if n])
      made[name] = line
    for operand in re.findall(r'%([\w.-]+)', operands):
      used[operand] = line
  return max(sum(size for name, size in sizes.items()
                 if made[name] <= line <= used.get(name, line))
             for line in range(len(lines)))


def test_xla_too_rebuilds_one_step_at_a_time():
  def planned(steps):
    flow = tg.Glow((8, 8, 2), levels=1, steps=steps, width=16,
                   permutation='reverse', learn_top=False, memory='recompute',
                   seed=0)
    return planned_bytes(tf.function(
        lambda y: test_segments.likelihood_gradients(flow, y), jit_compile=True,
        autograph=False), tf.zeros([64, 8, 8, 2]))

  assert planned(2) < 1.3 * planned(1)
