"""A server with the outside of TensorFlow Serving, for tests.

```shell
python tests/serving/model_server.py NAME FOLDER
```

serves the newest version in the folder, through the TF1 session loader, as
TensorFlow Serving does, and prints the ports: gRPC (`PredictionService.Predict`
and `GetModelMetadata`, `ModelService.GetModelStatus`) and REST (`:predict`,
status and metadata). It looks for a new version when it is sent SIGHUP, where
TensorFlow Serving polls, and does without batching and configuration. Beyond
TensorFlow Serving, `/memory` tells the bytes that it has in use.
"""

from concurrent import futures
import ctypes
import gc
import http.server
import json
import pathlib
import re
import signal
import sys
import threading

from google.protobuf import json_format
import grpc
import numpy as np
import psutil
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

_URL = re.compile(
    r'/v1/models/(\w+)(?:/versions/(\d+))?(:predict|/metadata)?')
_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.NOT_FOUND: 404,
}


class Refused(Exception):
  """A request that gets an error: a status code and a message."""


class Version:
  """One version of a model, in a session."""

  def __init__(self, path):
    self.number = int(path.name)
    self._session = tf.compat.v1.Session(graph=tf.Graph())
    with self._session.graph.as_default():
      meta_graph = tf.compat.v1.saved_model.load(
          self._session, ['serve'], str(path))
    self.signatures = dict(meta_graph.signature_def)

  def signature(self, name):
    """The signature of a name, `''` for the default one."""
    name = name or 'serving_default'
    if name not in self.signatures:
      raise Refused(grpc.StatusCode.FAILED_PRECONDITION,
                    f'Serving signature key "{name}" not found.')
    return self.signatures[name]

  def predict(self, name, inputs):
    """Arrays of the outputs, by name, of arrays of the inputs."""
    signature = self.signature(name)
    if set(inputs) != set(signature.inputs):
      raise Refused(
          grpc.StatusCode.INVALID_ARGUMENT,
          'input size does not match signature: '
          f'{sorted(inputs)} != {sorted(signature.inputs)}')
    for key, value in inputs.items():
      # A session in Python would convert it; one in C++ does not.
      needed = tf.as_dtype(signature.inputs[key].dtype)
      if tf.as_dtype(value.dtype) != needed:
        raise Refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            f'Expects {key} to be {needed.name} but '
            f'{value.dtype} is provided')
    try:
      return self._session.run(
          {k: v.name for k, v in signature.outputs.items()},
          {signature.inputs[k].name: v for k, v in inputs.items()})
    except (tf.errors.InvalidArgumentError, ValueError) as error:
      raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


class Models:
  """The newest version in a folder, under one name."""

  def __init__(self, name, folder):
    self._name = name
    self._folder = pathlib.Path(folder)
    self._version = None
    self.poll()

  def poll(self):
    newest = max((path for path in self._folder.iterdir()
                  if path.name.isdigit()), key=lambda path: int(path.name))
    if self._version is None or int(newest.name) != self._version.number:
      self._version = Version(newest)

  def find(self, name, number=None):
    version = self._version
    if name != self._name or number not in (None, version.number):
      raise Refused(grpc.StatusCode.NOT_FOUND,
                    f'Servable not found for request: {name}, {number}')
    return version

  def of_spec(self, spec):
    number = spec.version.value if spec.HasField('version') else None
    return self.find(spec.name, number)

  def metadata(self, spec):
    """`GetModelMetadataResponse`: the signatures."""
    version = self.of_spec(spec)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = spec.name
    response.model_spec.version.value = version.number
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in version.signatures.items():
      # Through bytes: TensorFlow's own copy of the message is another class.
      signatures.signature_def[key].CopyFrom(
          meta_graph_pb2.SignatureDef.FromString(
              signature.SerializeToString()))
    response.metadata['signature_def'].Pack(signatures)
    return response

  def status(self, spec):
    """`GetModelStatusResponse`."""
    version = self.of_spec(spec)
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(
        version=version.number,
        state=get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    return response


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer,
           model_service_pb2_grpc.ModelServiceServicer):
  """The services that are asked through gRPC."""

  def __init__(self, models):
    self._models = models

  def Predict(self, request, context):
    try:
      version = self._models.of_spec(request.model_spec)
      try:
        inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
      except (TypeError, ValueError) as error:
        raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
      outputs = version.predict(request.model_spec.signature_name, inputs)
    except Refused as refused:
      context.abort(*refused.args)
    response = predict_pb2.PredictResponse()
    response.model_spec.CopyFrom(request.model_spec)
    response.model_spec.version.value = version.number
    for key, value in outputs.items():
      response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
    return response

  def GetModelMetadata(self, request, context):
    try:
      return self._models.metadata(request.model_spec)
    except Refused as refused:
      context.abort(*refused.args)

  def GetModelStatus(self, request, context):
    try:
      return self._models.status(request.model_spec)
    except Refused as refused:
      context.abort(*refused.args)


def rest_handler(models):
  """The handler of HTTP requests."""

  class Rest(http.server.BaseHTTPRequestHandler):

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
      if self.path == '/memory':
        self._send(200, memory_in_use())
        return
      self._answer(lambda spec, verb: json.loads(json_format.MessageToJson(
          models.metadata(spec) if verb == '/metadata' else models.status(spec),
          preserving_proto_field_name=True)))

    def do_POST(self):
      body = self.rfile.read(int(self.headers['Content-Length']))

      def answer(spec, verb):
        if verb != ':predict':
          raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                        'Malformed request: POST ' + self.path)
        return predict_rest(models.of_spec(spec), body)

      self._answer(answer)

    def _answer(self, function):
      try:
        match = _URL.fullmatch(self.path)
        if not match:
          raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                        f'Malformed request: {self.command} {self.path}')
        spec = predict_pb2.PredictRequest().model_spec
        spec.name = match[1]
        if match[2]:
          spec.version.value = int(match[2])
        status, answer = 200, function(spec, match[3])
      except Refused as refused:
        code, message = refused.args
        status, answer = _HTTP_STATUS[code], {'error': message}
      self._send(status, answer)

    def _send(self, status, answer):
      content = json.dumps(answer).encode()
      self.send_response(status)
      self.send_header('Content-Type', 'application/json')
      self.send_header('Content-Length', str(len(content)))
      self.end_headers()
      self.wfile.write(content)

    def log_message(self, *args):
      pass

  return Rest


def predict_rest(version, body):
  """What TensorFlow Serving's REST API answers to `:predict`."""
  try:
    request = json.loads(body)
  except ValueError as error:
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  f'JSON Parse error: {error}') from error
  if not isinstance(request, dict) or (
      ('instances' in request) == ('inputs' in request)):
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  "Missing 'inputs' or 'instances' key")
  name = request.get('signature_name', '')
  infos = version.signature(name).inputs
  if 'instances' in request:
    values = _columns(request['instances'], infos)
  elif isinstance(request['inputs'], dict):
    values = request['inputs']
  else:
    values = _named(request['inputs'], infos)
  outputs = version.predict(name, {
      k: _as_array(k, v, infos) for k, v in values.items()})
  outputs = {k: _as_json(v) for k, v in outputs.items()}
  if 'inputs' in request:
    return {'outputs': next(iter(outputs.values())) if len(outputs) == 1
            else outputs}
  rows = [dict(zip(outputs, row)) for row in zip(*outputs.values())]
  if len(outputs) == 1:
    rows = [next(iter(row.values())) for row in rows]
  return {'predictions': rows}


def _columns(instances, infos):
  if not isinstance(instances, list) or not instances:
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  "Excepting 'instances' to be a list with values")
  if not all(isinstance(row, dict) for row in instances):
    return _named(instances, infos)
  if any(set(row) != set(infos) for row in instances):
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  f"'instances': keys must be equal to: {sorted(infos)}")
  return {k: [row[k] for row in instances] for k in infos}


def _named(value, infos):
  if len(infos) != 1:
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  'a plain list, but there are several inputs')
  return {next(iter(infos)): value}


def _as_array(name, value, infos):
  if name not in infos:
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT,
                  f'JSON object: does not have named input: {name}')
  dtype = tf.as_dtype(infos[name].dtype).as_numpy_dtype
  try:
    array = np.asarray(value)
    kinds = {'b': 'b', 'i': 'i', 'u': 'i'}.get(np.dtype(dtype).kind, 'if')
    if array.dtype.kind not in kinds:
      raise ValueError(f'JSON Value of `{name}` is not of expected type')
    return np.asarray(value, dtype)
  except (OverflowError, TypeError, ValueError) as error:
    raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _as_json(array):
  if array.dtype == object:
    return np.vectorize(bytes.decode, otypes=[object])(array).tolist()
  return array.tolist()


def memory_in_use():
  """Bytes that are this process's alone, less what was freed."""
  gc.collect()
  # What graphs took while they were optimised is free, but kept for later, and
  # would hide a leak.
  ctypes.CDLL(None).malloc_trim(0)
  return psutil.Process().memory_full_info().uss


def main(name, folder):
  models = Models(name, folder)
  signal.signal(signal.SIGHUP, lambda *unused: models.poll())
  server = grpc.server(futures.ThreadPoolExecutor(8))
  services = Grpc(models)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
      services, server)
  model_service_pb2_grpc.add_ModelServiceServicer_to_server(services, server)
  grpc_port = server.add_insecure_port('localhost:0')
  server.start()
  rest = http.server.ThreadingHTTPServer(
      ('localhost', 0), rest_handler(models))
  threading.Thread(target=rest.serve_forever, daemon=True).start()
  print(grpc_port, rest.server_address[1], flush=True)
  server.wait_for_termination()


if __name__ == '__main__':
  main(*sys.argv[1:])
