"""Training: to the end, killed and started again, and what goes wrong."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import tempfile

import numpy as np
import pytest
import tensorflow as tf

from training import checkpoints
from training import metrics
from training import processes


def start(workdir, *arguments, system='glow', **kwargs):
  """Starts the driver; see its docstring."""
  return processes.start('tests.training.driver', workdir, system, *arguments,
                         **kwargs)


def run(workdir, *arguments, code=0, **kwargs):
  """Runs the driver to its end and returns what it printed."""
  with tempfile.TemporaryDirectory() as folder:
    output = pathlib.Path(folder, 'output')
    process = start(
        workdir, *arguments, output=output, errors=output, **kwargs)
    process.join(300)
    printed = output.read_text()
  assert process.exitcode == code, printed
  return printed


def run_workers(workdir, moments=('', '')):
  """Runs two workers to their ends and returns their exit codes."""
  ports = []
  with contextlib.ExitStack() as sockets:
    for _ in moments:
      bound = sockets.enter_context(socket.socket())
      bound.bind(('127.0.0.1', 0))
      ports.append(bound.getsockname()[1])
  cluster = {'worker': [f'127.0.0.1:{port}' for port in ports]}
  workers = [
      start(workdir, *filter(None, [moment]), '--config.strategy=multi_worker',
            environment={'TF_CONFIG': json.dumps({
                'cluster': cluster,
                'task': {'type': 'worker', 'index': index}})})
      for index, moment in enumerate(moments)]
  for worker in workers:
    worker.join(300)
  return [worker.exitcode for worker in workers]


def values(workdir, step):
  """Every value of a checkpoint, by name."""
  reader = tf.train.load_checkpoint(f'{workdir}/checkpoints/step-{step}')
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()
          if 'CHECKPOINTABLE' not in name and 'save_counter' not in name}


def assert_same_values(one, two):
  assert one.keys() == two.keys() and len(one) > 20
  for name, value in one.items():
    np.testing.assert_array_equal(value, two[name], err_msg=name)


def assert_same_losses(one, two):
  one, two = (
      [[line.get('train_loss', 0.), line.get('eval_bits_per_dim', 0.)]
       for line in metrics.read(workdir)] for workdir in (one, two))
  np.testing.assert_allclose(one, two, rtol=1e-5)


def scalars(workdir):
  """The lines of metrics.jsonl, less what the clock decides."""
  return [{k: v for k, v in line.items() if k != 'images_per_second'}
          for line in metrics.read(workdir)]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that was never killed."""
  workdir = tmp_path_factory.mktemp('whole')
  run(workdir)
  return workdir


def test_a_run_leaves_what_it_should(whole):
  lines = metrics.read(whole)
  assert [line['step'] for line in lines] == [0, 2, 4, 6, 8, 10, 12]
  evaluated = [line for line in lines if 'eval_bits_per_dim' in line]
  assert [line['step'] for line in evaluated] == [0, 4, 8, 12]
  assert (evaluated[-1]['eval_bits_per_dim'] <
          evaluated[0]['eval_bits_per_dim'] - .1)
  assert evaluated[0]['eval_bits_per_dim_error'] > 0.
  assert {'latent_mean_0', 'latent_std_0'} <= set(evaluated[0])
  for line in evaluated:
    assert line['finite_samples_1'] == 1.
    assert 0. < line['encode_amplification'] < 1e4
    assert 0. < line['decode_amplification'] < 1e4
  assert sorted(os.listdir(whole / 'pictures')) == [
      f'{name}_{step:07d}.png' for name in ('reconstructions', 'samples')
      for step in (0, 4, 8, 12)]
  assert checkpoints.steps(whole / 'checkpoints') == [8, 10, 12]
  assert os.listdir(whole / 'tensorboard')


@pytest.mark.parametrize('moments', [
    ['writing:6'],
    pytest.param(['step:1', 'writing:2', 'step:3', 'evaluated:4', 'writing:4',
                  'step:7', 'writing:10', 'step:12', 'writing:12'],
                 marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_if_never_killed(moments, whole, tmp_path):
  for moment in moments:
    run(tmp_path, moment, code=-signal.SIGKILL)
  run(tmp_path)
  assert_same_values(values(tmp_path, 12), values(whole, 12))
  assert scalars(tmp_path) == scalars(whole)
  assert not [name for name in os.listdir(tmp_path / 'checkpoints')
              if 'temp' in name]


@pytest.mark.slow
def test_a_full_disk_does_not_end_the_run_nor_the_last_good_checkpoint(
    whole, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(whole, workdir)
  size = max(entry.stat().st_size
             for entry in os.scandir(workdir / 'checkpoints'))

  output = run(workdir, '--config.steps=14', '--config.eval_every=100',
               code=1, environment={'LARGEST_FILE': str(size - 1)})
  assert 'No checkpoint could be written at step 14' in output
  assert 'the last good one is that of step 12' in output
  assert checkpoints.steps(workdir / 'checkpoints') == [8, 10, 12]
  run(workdir, '--config.steps=14')
  assert checkpoints.steps(workdir / 'checkpoints') == [10, 12, 14]


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(whole, workdir)
  newest = workdir / 'checkpoints' / 'step-12.data-00000-of-00001'
  damaged = bytearray(newest.read_bytes())
  damaged[len(damaged) // 2] ^= 255
  newest.write_bytes(damaged)
  (workdir / 'checkpoints' / 'step-10.index').write_bytes(b'')
  output = run(workdir)
  assert output.count('cannot be read, and the one before it is taken') == 2
  assert_same_values(values(workdir, 12), values(whole, 12))
  assert scalars(workdir) == scalars(whole)


@pytest.mark.slow
@pytest.mark.parametrize('system, arguments', [
    ('glow', []),
    # Adam would blow rounding up, where a gradient is nothing else.
    ('real_nvp', ['--config.optimizer.name=sgd']),
    ('glow', ['--config.data.condition=downsample:2']),
    ('glow', ['--config.data.condition=mask:3'])],
                         ids=['glow', 'real_nvp', 'downsample', 'mask'])
def test_two_devices_give_the_losses_of_one(system, arguments, whole, tmp_path):
  one = whole
  if arguments:
    one = tmp_path / 'one'
    run(one, *arguments, system=system)
  two = tmp_path / 'two'
  run(two, '--config.strategy=mirrored', *arguments, system=system,
      environment={'VIRTUAL_DEVICES': '2'})
  assert_same_losses(one, two)
  # On one device it goes on from what two have saved.
  run(two, '--config.steps=14', *arguments, system=system)
  assert checkpoints.steps(two / 'checkpoints') == [10, 12, 14]


@pytest.mark.slow
def test_workers_end_when_one_dies_and_then_go_on(whole, tmp_path):
  first, second = run_workers(tmp_path, ['', 'step:5'])
  assert second == -signal.SIGKILL
  assert first not in (0, -signal.SIGKILL)
  assert checkpoints.steps(tmp_path / 'checkpoints')[-1] == 4
  assert run_workers(tmp_path) == [0, 0]
  assert_same_losses(whole, tmp_path)
  assert checkpoints.steps(tmp_path / 'checkpoints') == [8, 10, 12]
