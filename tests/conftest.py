"""Trained runs that tests of several modules only read."""

import pytest


def train_briefly(*args):
  # Tests of the library alone need not import it.
  from tests.training import driver

  return driver.train_briefly(*args)


@pytest.fixture(scope='session')
def plain_run(tmp_path_factory):
  """The working folder of a run without conditions."""
  return train_briefly(tmp_path_factory.mktemp('plain_run'))


@pytest.fixture(scope='session')
def class_run(tmp_path_factory):
  """That of a class-conditional run."""
  return train_briefly(tmp_path_factory.mktemp('class_run'),
                       '--config.model.class_conditional=True')
