"""What every test finds."""

import gc
import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Programs run once: they need not be fast.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow


def pytest_collection_finish():
  """Spares garbage collections the million objects that imports made.

  Tracing makes so many objects that it would go through those again and again,
  for a third of the time of the tests.
  """
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True)
def names_of_docstring_examples(doctest_namespace):
  """Examples read as after `from tfp_glow import *` and the usual imports."""
  doctest_namespace.update(
      {name: value for name, value in vars(tfp_glow).items()
       if not name.startswith('_')},
      tfp_glow=tfp_glow, tf=tf, tfp=tfp, keras=keras, np=np)


@pytest.fixture(autouse=True)
def seeds():
  """Makes each test draw the same numbers, alone or after others."""
  keras.utils.set_random_seed(0)
