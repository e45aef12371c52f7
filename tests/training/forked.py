"""Adds its arguments with TensorFlow, and ends with the status of the first."""

import os
import sys

import tensorflow as tf

from training import startup

if __name__ == '__main__':
  print(float(tf.add_n([float(argument) for argument in sys.argv[1:]])),
        os.environ.get('GREETING'), startup.FORK_SERVER in os.environ)
  sys.exit(int(sys.argv[1]))
