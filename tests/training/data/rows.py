"""Prints the labels that each replica of this process gets, as JSON."""

import json
import sys

import tensorflow as tf

from training import data


def main(strategy, cache_dir):
  if strategy == 'mirrored':
    cpu, = tf.config.list_physical_devices('CPU')
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
  else:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
  config = data.get_config()
  config.cache_dir = cache_dir
  batches = data.open(config).train_batches(8, seed=0).take(3)
  rows = []
  for _, labels in strategy.experimental_distribute_dataset(batches):
    rows.append([values.numpy().tolist() for values in
                 strategy.experimental_local_results(labels)])
  print(json.dumps(rows))


if __name__ == '__main__':
  main(*sys.argv[1:])
