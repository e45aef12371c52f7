"""A served model, asked over sockets as TensorFlow Serving is."""

import collections
from concurrent import futures
import contextlib
import http.client
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests import served
import tfp_glow as tg

SIGNATURES = served.SIGNATURES
# What runs when the model is loaded is among the signatures too.
INIT = '__saved_model_init_op'
ROWS = 3


class Client:
  """Asks the server `model_server.py` in both ways."""

  def __init__(self, process, grpc_port, rest_port):
    self.process = process
    self.grpc_port = grpc_port
    self.rest_port = rest_port
    self._channel = grpc.insecure_channel(f'localhost:{grpc_port}')
    self.stub = prediction_service_pb2_grpc.PredictionServiceStub(
        self._channel)

  def ask_grpc(self, signature, inputs, name='faces'):
    """Arrays by name, or an error's message."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    if signature != 'serving_default':
      request.model_spec.signature_name = signature
    for key, value in inputs.items():
      request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    try:
      response = self.stub.Predict(request, timeout=60)
    except grpc.RpcError as error:
      return f'{error.code().name}: {error.details()}'
    return {k: tf.make_ndarray(v) for k, v in response.outputs.items()}

  def ask_rest(self, signature, inputs, rows=True, name='faces'):
    """What JSON holds of the answer, or an error's message."""
    inputs = {k: v.tolist() for k, v in inputs.items()}
    if rows:
      keys = list(inputs)
      body = {'instances': [dict(zip(keys, row))
                            for row in zip(*inputs.values())]}
    else:
      body = {'inputs': inputs}
    if signature != 'serving_default':
      body['signature_name'] = signature
    return self.post(f'/v1/models/{name}:predict', json.dumps(body))

  def post(self, url, body):
    with contextlib.closing(http.client.HTTPConnection(
        'localhost', self.rest_port, timeout=60)) as connection:
      connection.request('POST', url, body)
      return self._read(connection)

  def get(self, url):
    with contextlib.closing(http.client.HTTPConnection(
        'localhost', self.rest_port, timeout=60)) as connection:
      connection.request('GET', url)
      return self._read(connection)

  def _read(self, connection):
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
      assert set(answer) == {'error'}
      return f'{response.status}: {answer["error"]}'
    return answer

  def close(self):
    self._channel.close()
    self.process.terminate()
    self.process.wait()


def start(folder):
  """A client of a server of its own."""
  script = pathlib.Path(__file__).with_name('model_server.py')
  process = subprocess.Popen(
      [sys.executable, '-P', script, 'faces', folder], text=True,
      stdout=subprocess.PIPE)
  ports = process.stdout.readline().split()
  assert ports, 'the server has not started'
  return Client(process, *map(int, ports))


class Service:
  """A Glow with a condition of each kind, exported and served."""

  def __init__(self, folder):
    self.folder = folder
    self.model = served.make_model('glow_conditions')
    served.export(self.model, folder)
    self.requests = served.make_requests(self.model, ROWS)
    self.client = start(folder)


@pytest.fixture(scope='module')
def service(tmp_path_factory):
  service = Service(tmp_path_factory.mktemp('faces'))
  yield service
  service.client.close()


def from_json(answer, want):
  """The arrays of an answer in either form."""
  if 'predictions' in answer:
    rows = answer['predictions']
    if len(want) == 1:
      columns = {next(iter(want)): rows}
    else:
      columns = {k: [row[k] for row in rows] for k in rows[0]}
  else:
    columns = answer['outputs']
    if len(want) == 1:
      columns = {next(iter(want)): columns}
  assert set(columns) == set(want)
  arrays = {}
  for name, value in want.items():
    if value.dtype.kind in 'SO':
      arrays[name] = np.vectorize(str.encode, otypes=[object])(columns[name])
    else:
      arrays[name] = np.array(columns[name], value.dtype)
  return arrays


@pytest.mark.parametrize('signature', SIGNATURES)
def test_every_signature_through_grpc(service, signature):
  inputs, want = service.requests[signature]
  served.assert_agree(service.client.ask_grpc(signature, inputs), want)


@pytest.mark.parametrize('rows', [True, False], ids=['rows', 'columns'])
@pytest.mark.parametrize('signature', SIGNATURES)
def test_every_signature_through_rest(service, signature, rows):
  inputs, want = service.requests[signature]
  answer = service.client.ask_rest(signature, inputs, rows)
  assert set(answer) == ({'predictions'} if rows else {'outputs'})
  served.assert_agree(from_json(answer, want), want)


def bad_requests(requests):
  """Requests that are refused, and what the message says."""

  def with_row(signature, **values):
    inputs = {k: v.copy() for k, v in requests[signature][0].items()}
    for name, value in values.items():
      inputs[name][1] = value
    return signature, inputs

  def replaced(signature, **values):
    return signature, {**requests[signature][0], **values}

  missing, untold = (
      {k: v for k, v in requests['sample'][0].items() if k != name}
      for name in ('seed', 'feature_map'))
  return [
      (with_row('log_prob', label=3), '`label` must be in 0 .. 2'),
      (with_row('encode', label=-1), '`label` must be in 0 .. 2'),
      (with_row('log_prob', feature_map=np.nan),
       '`feature_map` must be finite'),
      (with_row('sample', context=np.inf), '`context` must be finite'),
      (replaced('encode', feature_map=np.zeros([ROWS, 8, 8, 1], np.float32)),
       '8, 8, 1'),
      (replaced('decode', context=np.zeros([ROWS, 3], np.float32)), '3'),
      (with_row('decode', latents=np.nan), '`latents` must be finite'),
      (with_row('sample', temperature=-1.), '`temperature` must be finite'),
      (with_row('sample', temperature=np.inf), '`temperature` must be finite'),
      (with_row('sample_levels', temperatures=[0., -1.]),
       '`temperatures` must be finite'),
      (with_row('interpolate', weight=np.nan), '`weight` must be finite'),
      (with_row('manipulate', attribute=2), '`attribute` must be in 0 .. 1'),
      (with_row('manipulate', strength=np.inf), '`strength` must be finite'),
      (with_row('manipulate_all', strengths=[np.inf, 0.]),
       '`strengths` must be finite'),
      (with_row('examples', index=5), '`index` must be in 0 .. 4'),
      (replaced('encode', images=np.zeros([ROWS, 8, 8, 2], np.uint8)),
       '8, 8, 2'),
      (replaced('decode', latents=np.zeros([ROWS, 33], np.float32)), '33'),
      (('sample', missing), 'seed'),
      (('sample', untold), 'feature_map'),
      (('upscale', requests['encode'][0]), '"upscale" not found'),
  ]


def test_bad_requests_are_refused_in_both_ways(service):
  for (signature, inputs), message in bad_requests(service.requests):
    grpc_error = service.client.ask_grpc(signature, inputs)
    assert message in grpc_error
    assert grpc_error.startswith(
        'FAILED_PRECONDITION: ' if signature == 'upscale' else
        'INVALID_ARGUMENT: ')
    rest_error = service.client.ask_rest(signature, inputs)
    assert message in rest_error
    assert rest_error.startswith('412: ' if signature == 'upscale' else '400: ')


def test_bad_requests_of_one_way_are_refused(service):
  client = service.client
  inputs = service.requests['encode'][0]
  assert client.ask_grpc(
      'encode', {**inputs, 'images': inputs['images'].astype(np.float32)}
  ).startswith('INVALID_ARGUMENT: Expects images to be uint8')
  assert client.ask_grpc('encode', {}, name='cats').startswith('NOT_FOUND: ')
  predict = '/v1/models/faces:predict'
  for url, body, status in [
      (predict, '{"instances": [1, 2', 400),
      (predict, '{}', 400),
      (predict, json.dumps({'instances': []}), 400),
      (predict, json.dumps({'instances': [[[[300]]]]}), 400),
      (predict, json.dumps({'signature_name': 'decode', 'instances': [
          {'latents': ['a'] * 32, 'label': 0}]}), 400),
      ('/v1/models/cats:predict', '{"instances": [1]}', 404),
      ('/v1/models/faces/versions/9:predict', '{"instances": [1]}', 404),
      ('/v1/models/faces:classify', '{}', 400),
  ]:
    assert client.post(url, body).startswith(f'{status}: '), (url, body)


def test_metadata_tells_the_signatures(service):
  request = get_model_metadata_pb2.GetModelMetadataRequest(
      metadata_field=['signature_def'])
  request.model_spec.name = 'faces'
  response = service.client.stub.GetModelMetadata(request)
  signatures = get_model_metadata_pb2.SignatureDefMap()
  response.metadata['signature_def'].Unpack(signatures)
  assert set(signatures.signature_def) - {INIT} == set(SIGNATURES)
  sample = signatures.signature_def['sample']
  assert [d.size for d in sample.inputs['seed'].tensor_shape.dim] == [-1, 2]
  answer = service.client.get('/v1/models/faces/metadata')
  names = set(answer['metadata']['signature_def']['signature_def'])
  assert names - {INIT} == set(SIGNATURES)
  status = service.client.get('/v1/models/faces')
  assert status['model_version_status'][0]['state'] == 'AVAILABLE'


def exchange(service, count, seed):
  """Asks good and bad requests in turn; returns how many there were."""
  generator = random.Random(seed)
  counts = collections.Counter()
  bad = bad_requests(service.requests)
  for _ in range(count):
    through = generator.choice(['grpc', 'rest'])
    ask = getattr(service.client, f'ask_{through}')
    if generator.random() < .2:
      (signature, inputs), message = generator.choice(bad)
      assert message in ask(signature, inputs)
      counts['bad', through] += 1
      continue
    signature = generator.choice(SIGNATURES)
    inputs, want = service.requests[signature]
    # Some of the rows, so that sizes of batches differ.
    rows = generator.randint(1, ROWS)
    got = ask(signature, {k: v[:rows] for k, v in inputs.items()})
    want = {k: v[:rows] for k, v in want.items()}
    served.assert_agree(
        from_json(got, want) if through == 'rest' else got, want)
    counts['good', through] += 1
  return counts


def exchange_with_clients(service, num_clients, count, seed):
  with futures.ThreadPoolExecutor(num_clients) as executor:
    jobs = [executor.submit(exchange, service, count // num_clients,
                            1000 * seed + client)
            for client in range(num_clients)]
    return sum((job.result() for job in jobs), collections.Counter())


@pytest.mark.slow
def test_eight_clients_at_once(service):
  # What is allocated once is allocated by then.
  exchange_with_clients(service, 8, 400, seed=0)
  before = service.client.get('/memory')
  counts = exchange_with_clients(service, 8, 1000, seed=1)
  after = service.client.get('/memory')
  assert sum(counts.values()) == 1000
  assert min(counts.values()) > 50 and len(counts) == 4
  # A leak of 4 KiB at each request would be more.
  assert after - before < 2**22, (before, after)


@pytest.mark.slow
def test_a_new_version_takes_over(tmp_path):
  glow, other = served.make_model('glow'), served.make_model('glow')
  for variable in other.trainable_variables:
    variable.assign(1.1 * variable)
  tg.export_saved_model(glow, tmp_path)
  client = start(tmp_path)
  images = served.make_requests(glow, 2)['log_prob'][0]
  try:
    for model in (glow, other):
      if model is other:
        tg.export_saved_model(other, tmp_path)
        client.process.send_signal(signal.SIGHUP)
        while 'error' in str(client.get('/v1/models/faces/versions/2')) or (
            client.get('/v1/models/faces')['model_version_status'][0]['version']
            != '2'):
          time.sleep(.1)
      served.assert_agree(
          client.ask_grpc('log_prob', images),
          {'log_prob': model.log_prob(**images).numpy(),
           'bits_per_dim': model.bits_per_dim(**images).numpy()})
  finally:
    client.close()
