"""Exports the smallest of models again and again, and is killed meanwhile.

`python -m tests.serving.exporter DIRECTORY MOMENTS` prints, for a whole export,
for one that is killed at each of so many moments, and for another whole one,
how the process ended and what is in the directory.
"""

import os
import signal
import sys
import time

from tests import test_model
import tfp_glow as tg


def make_model():
  """The model, the same each time."""
  flow = tg.NICE(32, couplings=2, hidden_layers=1, width=2, seed=0)
  model = tg.FlowModel(flow, image_shape=test_model.SHAPE, seed=0)
  model.adapt(test_model.random_images())
  return model


def export_in_a_child(directory, delay):
  """Exports, and returns how long that took."""
  # Not even this has used TensorFlow so far, so that it may be forked.
  reader, writer = os.pipe()
  child = os.fork()
  if not child:
    model = make_model()
    os.write(writer, b'.')
    tg.export_saved_model(model, directory)
    os._exit(0)
  os.read(reader, 1)
  start = time.monotonic()
  if delay is not None:
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
  status = os.waitpid(child, 0)[1]
  print(status, *sorted(os.listdir(directory)), flush=True)
  return time.monotonic() - start


def main(directory, moments):
  duration = export_in_a_child(directory, None)
  for i in range(moments):
    export_in_a_child(directory, duration * (i + .5) / moments)
  export_in_a_child(directory, None)


if __name__ == '__main__':
  main(sys.argv[1], int(sys.argv[2]))
