import importlib.util
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import hlo
from benchmarks import hlo_runner

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec('jax') is None,
    reason="JAX is not installed: pip install '.[benchmark]'")


def make_step():
  weights = tf.Variable(tf.ones([3, 2]), name='weights')
  large = tf.Variable(tf.random.stateless_normal([200, 1000], [0, 0]))
  constant = tf.constant([5., 7.])

  def step(x):
    weights.assign_add(2. * weights)
    return tf.reduce_sum(x @ weights * constant) + tf.reduce_sum(large)

  return weights, large, tf.function(step, jit_compile=True)


def test_a_dump_has_parameters_results_and_what_is_assigned(tmp_path):
  weights, large, step = make_step()
  hlo.dump(step, [tf.ones([4, 3])], tmp_path / 'dump', batch_size=4)
  about = json.loads((tmp_path / 'dump' / 'description.json').read_text())
  arguments = hlo_runner.load(tmp_path / 'dump' / 'arguments.npz')
  results = hlo_runner.load(tmp_path / 'dump' / 'results.npz')
  assert about['parameters'][0] == 'argument 0'
  assert about['batch_size'] == 4
  place = about['parameters'].index('weights:0')
  np.testing.assert_array_equal(arguments[place], np.ones([3, 2]))
  assert [parameter for _, parameter in about['aliases']] == [place]
  np.testing.assert_array_equal(results[1], weights)
  # The large variable is drawn again, here as there, and not written.
  (drawn, (shape, deviation)), = about['drawn'].items()
  assert shape == [200, 1000] and deviation == 1.
  noise = hlo_runner.draw(int(drawn), shape, deviation)
  np.testing.assert_array_equal(large, noise)
  np.testing.assert_allclose(
      results[0], 4. * 3. * 3. * 12. + noise.sum(dtype=np.float64), rtol=1e-5)
  assert (tmp_path / 'dump' / 'program.hlo.pb').stat().st_size > 100


def test_networks_have_the_precision_that_is_asked_for():
  small = {'image_side': 4, 'levels': 1, 'steps': 1, 'width': 4,
           'batch_size': 2}
  convolutions = {}
  for policy in ('float32', 'mixed_bfloat16'):
    function, arguments = hlo.make(hlo.Program(policy=policy, **small))
    convolutions[policy] = {
        op.outputs[0].dtype.name
        for op in function.get_concrete_function(
            *arguments).graph.get_operations() if op.type == 'Conv2D'}
  # The top prior's is in float32 in either.
  assert convolutions == {
      'float32': {'float32'}, 'mixed_bfloat16': {'bfloat16', 'float32'}}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cifar10_recompute', 'cifar10_sample'])
def test_programs_of_all_kinds_are_written(name, tmp_path, capsys):
  assert hlo.main([str(tmp_path), '--quick', '--only', name]) == 0
  assert name in capsys.readouterr().out
  assert (tmp_path / 'hlo_runner.py').exists()
  results = hlo_runner.load(tmp_path / name / 'results.npz')
  assert all(np.isfinite(r).all() for r in results.values())


@needs_jax
def test_a_program_runs_in_jax_and_tells_what_differs(tmp_path, capsys):
  _, _, step = make_step()
  folder = tmp_path / 'dump'
  hlo.dump(step, [tf.ones([4, 3])], folder, batch_size=4, convolution_flops=1)
  figures = tmp_path / 'figures.json'
  arguments = [str(folder), '--reps', '2', '--peak-tflops', '1',
               '--json', str(figures)]
  assert hlo_runner.main(arguments) == 0
  line = capsys.readouterr().out
  assert 'equal' in line and 'images/s' in line and 'of the peak' in line
  assert hlo.main(['--markdown', str(figures)]) == 0
  assert '| `dump` |' in capsys.readouterr().out
  results = dict(np.load(folder / 'results.npz'))
  np.savez(folder / 'results.npz', **{**results, '0': results['0'] + 1.})
  assert hlo_runner.main(arguments) == 1
  assert 'DIFFERENT' in capsys.readouterr().out


def test_a_row_has_what_is_known():
  row = {'program': 'a', 'milliseconds': 1.25, 'images_per_second': 12_800.,
         'convolution_tflops': 0., 'compile_seconds': 9.,
         'planned_mebibytes': 1234.}
  assert hlo.markdown([row, {**row, 'convolution_tflops': 101.}]) == (
      '| program | ms a step | images/s | TFLOP/s in convolutions | '
      'compiled in | planned memory |\n'
      '| --- | --- | --- | --- | --- | --- |\n'
      '| `a` | 1.2 | 12,800 |  | 9 s | 1,234 MiB |\n'
      '| `a` | 1.2 | 12,800 | 101 | 9 s | 1,234 MiB |')


def test_the_table_in_the_document_is_of_the_file_of_figures():
  folder = pathlib.Path(__file__).parents[2] / 'docs'
  rows = json.loads((folder / 'speed' / 'gpu.json').read_text())
  text = ' '.join((folder / 'speed.md').read_text('utf-8').split())
  assert ' '.join(hlo.markdown(rows).split()) in text
  by_name = {row['program']: row for row in rows}

  def ratio(one, other, figure='milliseconds'):
    return f'{by_name[one][figure] / by_name[other][figure]:.2f}'

  store, small = 'cifar10_store', 'small_store'
  memory = 'planned_mebibytes'
  assert (f"A step takes {ratio(store, 'cifar10_tfb_glow')} of `tfb.Glow`'s "
          f'time, the small one {ratio(small, "small_tfb_glow")}.') in text
  low = 'cifar10_store_bfloat16'
  assert (f"take {ratio(low, store)} of float32's time and "
          f'{ratio(low, store, memory)} of its memory') in text
  again = 'cifar10_recompute'
  assert (f'takes {ratio(again, store)} times the time and '
          f'{ratio(again, store, memory)} of the memory') in text
  assert by_name[small]['error'] < 1e-5


def test_a_folder_is_needed(capsys):
  with pytest.raises(SystemExit):
    hlo.main([])
  assert 'OUT is needed' in capsys.readouterr().err


def test_convolutions_are_counted():
  program = hlo.Program(8, levels=2, steps=1, width=4, batch_size=2)
  by_hand = 16 * (9 * 6 * 4 + 4 * 4 + 9 * 4 * 12) + 16 * 9 * 6 * 12
  by_hand += 4 * (9 * 12 * 4 + 4 * 4 + 9 * 4 * 24)
  assert hlo.convolution_flops(program) == 3 * 2 * 2 * by_hand
