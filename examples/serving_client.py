"""Asks a model that TensorFlow Serving serves for images, over gRPC.

    python examples/serving_client.py --address localhost:8500 --name faces

writes samples.png. docs/serving.md tells how to export a model and start the
server. It needs `pip install tensorflow-serving-api pillow`, and no tfp_glow.
"""

import argparse

import grpc
import numpy as np
from PIL import Image
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc


class Client:
  """Calls the signatures of one model."""

  def __init__(self, address, name):
    self._name = name
    self._channel = grpc.insecure_channel(address, options=[
        ('grpc.max_receive_message_length', 2**28)])
    self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
        self._channel)

  def __call__(self, signature, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = self._name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
      request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    outputs = self._stub.Predict(request, timeout=60.).outputs
    return {key: tf.make_ndarray(value) for key, value in outputs.items()}

  def close(self):
    self._channel.close()


def main(argv=None):
  """Draws eight samples in a row; returns their bits/dim."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--address', default='localhost:8500')
  parser.add_argument('--name', default='faces')
  parser.add_argument('--output', default='samples.png')
  args = parser.parse_args(argv)
  ask = Client(args.address, args.name)
  seeds = np.stack([np.arange(8), np.zeros(8)], axis=-1).astype(np.int32)
  images = ask('sample', seed=seeds,
               temperature=np.full([8], .7, np.float32))['images']
  bits = ask('log_prob', images=images)['bits_per_dim']
  row = np.concatenate(list(images), axis=1)
  Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(args.output)
  print(f'{args.output}: {bits.mean():.2f} bits/dim on average')
  ask.close()
  return bits


if __name__ == '__main__':
  main()
