"""RealNVP against the paper's own program, and its checkpoints."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests import dinh
import tfp_glow as tg
from tfp_glow import checkpoints

SHAPE = (4, 4, 1)

FILES = [
    pytest.param(dinh.REFERENCE, id='reference', marks=pytest.mark.skipif(
        not dinh.REFERENCE.exists(),
        reason=f'$TFP_GLOW_REFERENCE has no {dinh.REFERENCE.name}')),
    pytest.param(dinh.FIXTURE, id='fixture'),
]


@functools.cache
def random_flow():
  """A small RealNVP with random weights."""
  return dinh.randomise(
      tg.RealNVP(SHAPE, width=2, residual_blocks=1, seed=0))


@pytest.fixture(name='weights')
def random_weights():
  """Its weights, under the names of the program."""
  return {name: variable.numpy() for name, variable in
          checkpoints.dinh_real_nvp_variables(random_flow()).items()}


@pytest.mark.parametrize('path', FILES)
def test_every_array_of_the_program_in_float32(path):
  weights, arrays = dinh.read(path)
  flow = tg.load_dinh_real_nvp(weights, arrays['x'].shape[1:])
  dinh.check(
      dinh.outputs(flow, arrays['x'], arrays['standard_normal_latent']),
      arrays, tolerance=1e-4)


@pytest.mark.parametrize('path', FILES)
def test_every_array_of_the_program_in_float64(path, monkeypatch):
  exact_moments = tf.nn.moments

  def moments_of_the_program(values, axes):
    # TensorFlow sums float32 one by one, which here costs 3e-5 of a latent.
    return [tf.cast(m, values.dtype)
            for m in exact_moments(tf.cast(values, tf.float32), axes)]

  weights, arrays = dinh.read(path)
  flow = tg.load_dinh_real_nvp(
      weights, arrays['x'].shape[1:], dtype=tf.float64)
  if path == dinh.REFERENCE:
    monkeypatch.setattr(tf.nn, 'moments', moments_of_the_program)
  dinh.check(
      dinh.outputs(flow, arrays['x'], arrays['standard_normal_latent']),
      arrays, tolerance=1e-5)


def test_structure_is_read_off_names_and_shapes():
  flow = dinh.randomise(tg.RealNVP(
      (8, 4, 1), scales=3, width=2, residual_blocks=2, seed=0))
  weights = {name: variable.numpy() for name, variable in
             checkpoints.dinh_real_nvp_variables(flow).items()}
  again = tg.load_dinh_real_nvp(weights, (8, 4, 1))
  assert again.get_config() == {**flow.get_config(), 'seed': 0}
  assert len(again.variables) == len(flow.variables)
  for one, two in zip(flow.variables, again.variables):
    np.testing.assert_array_equal(one, two)


def write_checkpoint(path, arrays):
  tf.raw_ops.SaveV2(
      prefix=str(path), tensor_names=list(arrays),
      shape_and_slices=[''] * len(arrays), tensors=list(arrays.values()))
  return path


def test_a_checkpoint_is_read_without_what_trained_it(weights, tmp_path):
  path = write_checkpoint(tmp_path / 'model.ckpt-7', {
      **weights,
      'model/global_step': np.int64(7),
      'model/beta1_power': np.float32(.9),
      'model/beta2_power': np.float32(.999),
      **{name.replace('/beta', '/step'): np.float32(7.)
         for name in weights if name.endswith('/beta')},
      **{f'model/{name}/{slot}': np.zeros_like(value)
         for name, value in weights.items() for slot in ('Adam', 'Adam_1')},
  })
  flow = tg.load_dinh_real_nvp(path, SHAPE)
  for name, variable in checkpoints.dinh_real_nvp_variables(flow).items():
    np.testing.assert_array_equal(variable.numpy(), weights[name])


def test_moving_averages_are_taken_where_asked_for(weights):
  averages = {f'{name}/ExponentialMovingAverage': value + 1.
              for name, value in weights.items()}
  name = 'model/scale_0/coupling_4/scale'
  for given, averaged, want in (
      ({**weights, **averages}, False, weights[name]),
      ({**weights, **averages}, True, weights[name] + 1.),
      (averages, False, weights[name] + 1.)):
    flow = tg.load_dinh_real_nvp(given, SHAPE, averaged=averaged)
    variables = checkpoints.dinh_real_nvp_variables(flow)
    np.testing.assert_array_equal(variables[name].numpy(), want)


def test_an_error_lists_everything_that_does_not_fit(weights):
  missing = ['model/scale_0/coupling_5/bn_out/var',
             'model/scale_1/coupling_3/resnet/block_0/h_0/weights']
  surplus = ['model/scale_0/coupling_3/scale', 'model/scale_1/what']
  wrong = ['model/scale_0/coupling_4/resnet/h_in/biases',
           'model/scale_1/coupling_0/rescaling_scale']
  bad = {name: value for name, value in weights.items()
         if name not in missing}
  bad.update({name: np.zeros([2], np.float32) for name in surplus})
  bad.update({name: np.zeros([3, 1], np.float32) for name in wrong})
  with pytest.raises(ValueError) as error:
    tg.load_dinh_real_nvp(bad, SHAPE)
  lines = str(error.value).split('\n')
  assert 'in 6 variables' in lines[0]
  assert len(lines) == 7
  for kind, names in (('missing', missing), ('surplus', surplus),
                      ('wrong shape', wrong)):
    for name in names:
      assert any(line.strip().startswith(f'{kind}: {name} ')
                 for line in lines), name


def test_nothing_is_half_loaded(weights, monkeypatch):
  built = []

  class Recorded(tg.RealNVP):

    def __init__(self, *args, **kwargs):
      super().__init__(*args, **kwargs)
      built.append((self, [v.numpy() for v in self.variables]))

  monkeypatch.setattr(checkpoints.real_nvp.real_nvp_lib, 'RealNVP', Recorded)
  del weights['model/scale_1/coupling_3/bn_out/mean']
  with pytest.raises(ValueError):
    tg.load_dinh_real_nvp(weights, SHAPE)
  (flow, before), = built
  for variable, value in zip(flow.variables, before):
    np.testing.assert_array_equal(variable, value)


def test_images_of_other_channels_are_refused(weights):
  with pytest.raises(ValueError, match='wrong shape: .*/h_in/weights'):
    tg.load_dinh_real_nvp(weights, (4, 4, 3))


def test_what_is_no_real_nvp_is_refused():
  with pytest.raises(ValueError, match='not those of a RealNVP'):
    tg.load_dinh_real_nvp({'model/prior/W': np.zeros([2])}, SHAPE)
  with pytest.raises(FileNotFoundError, match='`weights`'):
    tg.load_dinh_real_nvp('/nowhere/model.ckpt', SHAPE)


def test_names_are_only_given_to_what_the_program_can_have():
  with pytest.raises(TypeError, match='must be a RealNVP'):
    checkpoints.dinh_real_nvp_variables(tg.NICE(2, width=1))
  flow = tg.RealNVP(SHAPE, width=2, residual_blocks=1, context_size=3)
  with pytest.raises(ValueError, match='context_size=3'):
    checkpoints.dinh_real_nvp_variables(flow)
