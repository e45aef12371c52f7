"""Files for TensorFlow Serving that are no part of a SavedModel."""

import importlib.util
import pathlib

import numpy as np
import tensorflow as tf

# In the text form of TensorFlow Serving's `BatchingParameters`.
BATCHING_PARAMETERS = """\
# For tensorflow_model_server --enable_batching --batching_parameters_file=...
# Up to 64 rows of waiting requests are computed at once; a request waits for
# others for 2 ms at most.
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 4 }
# Batches are filled up to one of these sizes, so that there are few shapes.
allowed_batch_sizes: 1
allowed_batch_sizes: 8
allowed_batch_sizes: 64
"""


def write(path, signatures, model_name):
  """Writes `assets.extra/` into the folder of a SavedModel.

  Args:
    path: The folder.
    signatures: `Signatures` of the SavedModel.
    model_name: Python `str`, by which the requests name the model.
  """
  folder = pathlib.Path(path) / 'assets.extra'
  folder.mkdir()
  (folder / 'batching_parameters.txt').write_text(BATCHING_PARAMETERS)
  if importlib.util.find_spec('tensorflow_serving') is not None:
    _write_warmup_requests(
        folder / 'tf_serving_warmup_requests', signatures, model_name)


def _write_warmup_requests(path, signatures, model_name):
  """One request for each signature, so that no client waits for the first."""
  from tensorflow_serving.apis import predict_pb2
  from tensorflow_serving.apis import prediction_log_pb2
  with tf.io.TFRecordWriter(str(path)) as writer:
    for name in signatures.names:
      request = predict_pb2.PredictRequest()
      request.model_spec.name = model_name
      request.model_spec.signature_name = name
      for key, spec in signatures.input_specs(name).items():
        # Zeros are good values of every input.
        row = np.zeros([1, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
        request.inputs[key].CopyFrom(tf.make_tensor_proto(row))
      writer.write(prediction_log_pb2.PredictionLog(
          predict_log=prediction_log_pb2.PredictLog(request=request)
      ).SerializeToString())
