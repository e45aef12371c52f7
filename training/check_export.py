"""Loads a SavedModel without tfp_glow and compares its log-probabilities.

`training.demo` runs this file in a process of its own.
"""

import argparse
import sys

import numpy as np
import tensorflow as tf

# Of the log-probability: what float32 cannot tell of a sum over the pixels.
_TOLERANCE = 1e-5


def main(args):
  """Prints the largest difference; exits with 1 where it is too large."""
  sys.modules['tfp_glow'] = None  # from here on it cannot be imported
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('export', help='the SavedModel, such as export/1')
  parser.add_argument('expected', help='npz file of images and log_prob')
  args = parser.parse_args(args)
  expected = np.load(args.expected)
  signature = tf.saved_model.load(args.export).signatures['log_prob']
  log_prob = signature(images=tf.constant(expected['images']))['log_prob']
  difference = np.abs(log_prob - expected['log_prob'])
  print(difference.max())
  if not (difference <= _TOLERANCE * np.abs(expected['log_prob'])).all():
    sys.exit(f'{args.export} gives other log-probabilities: the largest '
             f'difference is {difference.max()} nats.')


if __name__ == '__main__':
  main(sys.argv[1:])
