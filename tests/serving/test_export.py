"""What an export writes, and what it leaves when it is interrupted."""

import collections
import itertools
import logging
import math
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

from absl import logging as absl_logging
from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import message_factory
from google.protobuf import text_format
from google.protobuf import wrappers_pb2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests import served
from tests import test_model
from tests.serving import exporter
import tfp_glow as tg
from tfp_glow.bijectors import conditioner
from tfp_glow.serving import extras
from tfp_glow.serving import versions
from training import processes


@pytest.fixture(scope='module')
def model():
  return test_model.make_model()


@pytest.fixture(scope='module')
def tiny():
  """The model that is exported soonest."""
  return exporter.make_model()


@pytest.fixture(scope='module')
def plain_export(model, tmp_path_factory):
  return tg.export_saved_model(model, tmp_path_factory.mktemp('plain'))


@pytest.fixture(scope='module')
def class_export(tmp_path_factory):
  return pathlib.Path(served.export(
      served.make_model('glow_classes'), tmp_path_factory.mktemp('faces')))


def test_versions_count_up_and_nothing_else_is_left(tiny, tmp_path):
  directory = tmp_path / 'a' / 'served'
  assert tg.export_saved_model(tiny, directory) == str(directory / '1')
  (directory / '7').mkdir()
  (directory / '9.old').mkdir()
  # What an export that was killed left behind.
  (directory / '.export-abc' / 'variables').mkdir(parents=True)
  assert tg.export_saved_model(tiny, str(directory)) == str(directory / '8')
  assert sorted(os.listdir(directory)) == ['1', '7', '8', '9.old']
  # TensorFlow Serving runs as another user.
  assert (directory / '8').stat().st_mode & 0o755 == 0o755


def test_a_failed_export_leaves_the_folder_as_it_was(
    tiny, tmp_path, monkeypatch):
  def fail(*args, **kwargs):
    raise OSError('disk full')

  monkeypatch.setattr(tf.saved_model, 'save', fail)
  with pytest.raises(OSError, match='disk full'):
    tg.export_saved_model(tiny, tmp_path)
  assert not os.listdir(tmp_path)


def test_exports_to_one_folder_wait_for_each_other(tmp_path):
  """Each would take the other's unfinished one for one that was killed."""
  code = textwrap.dedent("""
      import importlib.util, sys
      spec = importlib.util.spec_from_file_location('versions', sys.argv[1])
      versions = importlib.util.module_from_spec(spec)
      spec.loader.exec_module(versions)
      print('ready', flush=True)
      print(versions.publish(sys.argv[2], lambda path: None))
  """)
  second = None

  def write(path):
    nonlocal second
    second = subprocess.Popen(
        [sys.executable, '-c', code, versions.__file__, tmp_path],
        stdout=subprocess.PIPE, text=True)
    assert second.stdout.readline() == 'ready\n'
    with pytest.raises(subprocess.TimeoutExpired):
      second.wait(timeout=1)  # it has next to nothing to do
    assert os.path.isdir(path)

  assert versions.publish(tmp_path, write) == str(tmp_path / '1')
  assert second.communicate()[0].strip() == str(tmp_path / '2')


@pytest.mark.parametrize(
    'moments', [2, pytest.param(10, marks=pytest.mark.slow)])
def test_an_export_that_is_killed_leaves_whole_versions(
    tiny, moments, tmp_path):
  directory = tmp_path / 'served'
  result = processes.run('tests.serving.exporter', directory, moments)
  assert result.returncode == 0
  first, *killed, last = [line.split() for line in result.stdout.splitlines()]
  assert first == ['0', '1'] and last[0] == '0'
  assert len(killed) == moments
  # The first moments are before the end, and something was under way.
  assert killed[0] == [str(signal.SIGKILL.value), killed[0][1], '1']
  assert killed[0][1].startswith('.export-')
  # What the killed ones left is gone after one that was not.
  names = last[1:]
  assert names == sorted(os.listdir(directory))
  assert names == [str(i + 1) for i in range(len(names))]
  images = test_model.random_images(4)
  want = tiny.log_prob(images)
  for name in names:
    got = tf.saved_model.load(directory / name).signatures['log_prob'](
        images=tf.constant(images))['log_prob']
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.slow
def test_networks_are_traced_once_each_way(model, tmp_path, monkeypatch):
  calls = collections.Counter()
  call = conditioner.Conditioner.__call__

  def counted(self, *args, **kwargs):
    calls[id(self)] += not tf.executing_eagerly()
    return call(self, *args, **kwargs)

  monkeypatch.setattr(conditioner.Conditioner, '__call__', counted)
  tg.export_saved_model(model, tmp_path, served.DIRECTIONS)
  # A coupling at each level and the prior between them; that of the top is
  # the same for all images.
  assert [count for count in calls.values() if count] == [2] * 3


@pytest.mark.slow
def test_both_directions_share_kernels(tmp_path):
  model = test_model.make_model(steps=2)
  path = pathlib.Path(tg.export_saved_model(model, tmp_path))
  stored = tf.saved_model.load(path).served_variables
  kernels = sum(v.shape.num_elements() for v in stored if len(v.shape) > 3)
  # What the top prior makes of zeros takes the place of its kernel, taps of the
  # edge channel are apart, and kernels of size 1 are matrices.
  top = model.flow.top_prior.network.kernel
  assert kernels == sum(
      math.prod(shape) * (shape[-2] - 1) // shape[-2]
      for shape in (tuple(v.shape) for v in model.flow.variables)
      if len(shape) > 3 and shape[-3] == 3) - math.prod(top.shape) * (
          top.shape[2] - 1) // top.shape[2]
  size = sum(4 * v.shape.num_elements() for v in stored)
  data = path / 'variables' / 'variables.data-00000-of-00001'
  # Beside them there are the names.
  assert size <= data.stat().st_size < size + 10_000


@pytest.mark.parametrize('name', ['encode', 'decode'])
def test_requests_do_no_work_on_weights_alone(plain_export, name):
  ops = operations(plain_export, name)
  # No inverse and no determinant of a 1x1 convolution; scales of two couplings
  # and two priors, and none of activation normalisation.
  assert ops['Qr'] == ops['MatrixTriangularSolve'] == 0
  assert ops['Exp'] == 4


@pytest.mark.slow
def test_requests_normalise_no_kernel(tmp_path):
  flow = tg.RealNVP((2, 2, 1), scales=1, width=2, residual_blocks=1, seed=0)
  model = tg.FlowModel(flow, seed=0)
  ops = operations(tg.export_saved_model(model, tmp_path), 'encode')
  assert ops['Conv2D'] and not ops['Square']


def operations(path, name):
  """How many operations of each type a signature has."""
  graph = tf.saved_model.load(path).signatures[name].graph.as_graph_def()
  return collections.Counter(node.op for node in itertools.chain(
      graph.node, *(f.node_def for f in graph.library.function)))


def test_attribute_names_are_in_the_assets(class_export):
  names = (class_export / 'assets' / 'attributes.txt').read_text('utf-8')
  assert names.splitlines() == list(served.DIRECTIONS)


def test_there_is_a_warmup_request_for_each_signature(class_export):
  path = class_export / 'assets.extra' / 'tf_serving_warmup_requests'
  signatures = tf.saved_model.load(class_export).signatures
  seen = []
  for record in tf.data.TFRecordDataset(str(path)):
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    assert request.model_spec.name == class_export.parent.name
    seen.append(request.model_spec.signature_name)
    # The server refuses to load a version whose requests fail.
    signatures[seen[-1]](**{
        k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()})
  assert sorted([*seen, 'serving_default']) == sorted(signatures)


def test_without_the_protos_there_are_no_warmup_requests(
    tiny, tmp_path, monkeypatch):
  find_spec = extras.importlib.util.find_spec
  monkeypatch.setattr(
      extras.importlib.util, 'find_spec',
      lambda name: None if name == 'tensorflow_serving' else find_spec(name))
  path = tg.export_saved_model(tiny, tmp_path)
  assert os.listdir(pathlib.Path(path) / 'assets.extra') == [
      'batching_parameters.txt']


def test_batching_parameters_are_of_tensorflow_servings_form(class_export):
  """`tensorflow-serving-api` lacks session_bundle_config.proto: as there."""
  field = descriptor_pb2.FieldDescriptorProto
  file = descriptor_pb2.FileDescriptorProto(
      name='batching.proto', package='serving', syntax='proto3',
      dependency=['google/protobuf/wrappers.proto'])
  message = file.message_type.add(name='BatchingParameters')
  for number, (name, kind) in enumerate([
      ('max_batch_size', 'Int64Value'), ('batch_timeout_micros', 'Int64Value'),
      ('max_enqueued_batches', 'Int64Value'),
      ('num_batch_threads', 'Int64Value'), ('thread_pool_name', 'StringValue'),
  ], start=1):
    message.field.add(
        name=name, number=number, type=field.TYPE_MESSAGE,
        label=field.LABEL_OPTIONAL, type_name=f'.google.protobuf.{kind}')
  message.field.add(
      name='allowed_batch_sizes', number=6, type=field.TYPE_INT64,
      label=field.LABEL_REPEATED)
  pool = descriptor_pool.DescriptorPool()
  pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
  pool.Add(file)
  parameters = message_factory.GetMessageClass(
      pool.FindMessageTypeByName('serving.BatchingParameters'))()
  text = (class_export / 'assets.extra' / 'batching_parameters.txt').read_text()
  text_format.Parse(text, parameters)
  sizes = list(parameters.allowed_batch_sizes)
  assert sizes == sorted(sizes)
  assert sizes[-1] == parameters.max_batch_size.value > 1
  assert parameters.num_batch_threads.value > 0


def test_no_line_names_every_weight(model, tmp_path):
  lines = []
  handler = logging.Handler()
  handler.emit = lambda record: lines.append(record.getMessage())
  logger = absl_logging.get_absl_logger()
  verbosity = absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.INFO)
  logger.addHandler(handler)
  try:
    tg.export_saved_model(model, tmp_path)
  finally:
    logger.removeHandler(handler)
    absl_logging.set_verbosity(verbosity)
  assert lines  # others are left alone
  assert max(len(line) for line in lines) < 200 + len(str(tmp_path))
  assert not logger.filters


def test_what_cannot_be_served_is_refused(model, tmp_path):
  coupling = tg.AdditiveCoupling(lambda kept, context: kept)
  told = tg.FlowModel(tg.Chain([coupling]), image_shape=test_model.SHAPE)
  with pytest.raises(ValueError, match='`context`.*that says their shapes'):
    tg.export_saved_model(told, tmp_path)
  for examples, message in [
      (np.zeros([2, 8, 8, 2], np.uint8), r'\(2, 8, 8, 2\).*None, 4, 4, 2'),
      (np.zeros([2, 4, 4, 2]), 'float64.*uint8'),
      (np.zeros([0, 4, 4, 2], np.uint8), 'at least one'),
      ((np.zeros([2, 4, 4, 2], np.uint8), [0, 1]), 'not class-conditional'),
  ]:
    with pytest.raises(ValueError, match=f'`examples`.*{message}'):
      tg.export_saved_model(model, tmp_path, examples=examples)
  classes = served.make_model('glow_classes')
  images = np.zeros([2, 4, 4, 2], np.uint8)
  for examples, message in [
      (images, r'needs `label`, integers \[N\]'),
      ((images, [0]), r'shape \(1,\).*N = 2'),
      ((images, [0, 3]), r'in 0 \.\. 2, but there is 3'),
      ((images, [0, -1]), r'in 0 \.\. 2, but there is -1'),
      ((images, [0., 1.]), 'integers are needed'),
  ]:
    with pytest.raises(ValueError, match=f'`examples`: .*{message}'):
      tg.export_saved_model(classes, tmp_path, examples=examples)
  for directions, message in [
      ({'up': np.zeros(3)}, r"\['up'\].*\(3,\).*\(32,\)"),
      ({'up': np.full(32, np.nan)}, r"\['up'\].*must be finite"),
      ({'up': [0., 1.]}, r"\['up'\].*\(2,\).*\(32,\)"),
      ({'up\ndown': np.zeros(32)}, 'one line'),
      ({'': np.zeros(32)}, 'one line'),
      ({1: np.zeros(32)}, 'one line'),
      ({'up': 'smile'}, r"\['up'\].*string"),
      (np.zeros(32), '`directions` is ndarray, but a `dict`'),
  ]:
    with pytest.raises((TypeError, ValueError), match=message):
      tg.export_saved_model(model, tmp_path, directions)
  with pytest.raises(TypeError, match='`model` is Chain, but a .*FlowModel'):
    tg.export_saved_model(told.flow, tmp_path)
  assert not os.listdir(tmp_path)
