"""Each group of figures, on small models; what is timed is not looked at."""

import re

import pytest

from benchmarks import memory
from benchmarks import sampling
from benchmarks import serving
from benchmarks import start
from benchmarks import steps
from benchmarks import train_step
import benchmarks.__main__ as everything


@pytest.mark.parametrize('group,num_rows', [
    (sampling, 1), pytest.param(train_step, 6, marks=pytest.mark.slow),
    pytest.param(serving, 6, marks=pytest.mark.slow),
    pytest.param(start, 7, marks=pytest.mark.slow),
    pytest.param(memory, 7, marks=pytest.mark.slow)])
def test_a_group_measures_its_rows(group, num_rows):
  rows = list(group.measure(quick=True, rounds=1))
  assert len(rows) == num_rows
  assert all(row.ours > 0. and row.other > 0. for row in rows)
  assert group in everything.GROUPS


def kernels_of(variables):
  """Shapes of convolutions' kernels; those of alike steps are in one variable.
  """
  shapes = []
  for variable in variables:
    shape = tuple(variable.shape)
    if re.match(r'level_\d+/', variable.name):
      shapes += [shape[1:]] * shape[0]
    else:
      shapes.append(shape)
  return [shape for shape in shapes if len(shape) == 4]


def test_bare_convolutions_are_those_of_the_networks():
  flow = steps.our_glow(2, 8, levels=2, side=8).bijector
  kernels = kernels_of(flow.trainable_variables)
  step = steps.glow_convolutions(2, 8, 3, levels=2, side=8)
  _, inputs, of_networks = step.args
  ours = sorted(tuple(k.shape) for network in of_networks for k in network)
  # A 3x3 kernel has the edge channel beside; the top prior's is left out.
  theirs = sorted(
      (*k[:2], k[2] - (k[0] == 3), k[3]) for k in kernels if k[2] != 49)
  assert ours == theirs
  assert [tuple(x.shape) for x in inputs] == [
      (3, 4, 4, 6)] * 3 + [(3, 2, 2, 12)] * 2


def test_networks_one_after_another_have_the_same_kernels_and_biases():
  convolutions = steps.glow_convolutions(2, 8, 3, levels=2, side=8)
  networks = steps.glow_networks(2, 8, 3, levels=2, side=8)
  _, inputs, kernels = convolutions.args
  _, inputs_in_turn, weights = networks.args
  assert [x.shape for x in inputs_in_turn] == [x.shape for x in inputs]
  for of_network, alone in zip(weights, kernels, strict=True):
    for (kernel, bias), other in zip(of_network, alone, strict=True):
      assert kernel.shape == other.shape and bias.shape == kernel.shape[-1:]


def test_bare_convolutions_of_real_nvp_are_those_of_its_networks():
  flow = steps.our_real_nvp(4, 1).bijector
  kernels = sorted(tuple(v.shape) for v in flow.trainable_variables
                   if len(v.shape) == 4)
  _, _, of_networks = steps.real_nvp_convolutions(4, 1, 2).args
  assert sorted(tuple(k.shape) for network in of_networks
                for k in network) == kernels


@pytest.mark.slow
def test_models_have_the_same_shape():
  ours, other = steps.our_glow(1, 8), steps.tfb_glow(1, 8)
  images = steps.images(2)
  for distribution in (ours, other):
    assert distribution.log_prob(images).shape == [2]
  kernels = [kernels_of(d.trainable_variables) for d in (ours, other)]
  # Three networks of three convolutions and two priors; ours has a top prior.
  assert [len(k) for k in kernels] == [12, 11]
