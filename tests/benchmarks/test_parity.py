import shutil

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import parity
from tests import dinh
from tests import numpy_glow
import tfp_glow

GLOW = numpy_glow.FIXTURES / 'glow_lu_classes.npz'
GLOW_5BIT = numpy_glow.FIXTURES / 'glow_shuffle_5bit.npz'
REAL_NVP = numpy_glow.FIXTURES / 'real_nvp.npz'


def spoil(path, folder, changes):
  """A copy of a file, with stored arrays changed."""
  with np.load(path) as file:
    arrays = dict(file)
  for name, change in changes.items():
    arrays[name] = change(arrays[name])
  np.savez(folder / path.name, **arrays)


def add(number):
  return lambda array: array + np.asarray(number, array.dtype)


def failed(folder, capsys, dtype='float64'):
  """Runs the command, and returns the names of the arrays that fail."""
  status = parity.main([str(folder), '--dtype', dtype])
  lines = capsys.readouterr().out.splitlines()
  names = [line[38:66].strip() for line in lines if ' FAIL' in line]
  assert status == (1 if names else 0)
  return names


def test_a_line_for_each_output_and_a_sum_of_them(tmp_path, capsys):
  shutil.copy(GLOW, tmp_path)
  shutil.copy(REAL_NVP, tmp_path)
  assert parity.main([str(tmp_path)]) == 0
  lines = capsys.readouterr().out.splitlines()
  for file, arrays in (
      ('glow_lu_classes.npz', ['bits_per_dim', 'eps_0', 'eps_1', 'top_latent',
                               'logits', 'decode_float', 'decode_image',
                               'after_init/ (24 arrays)']),
      ('real_nvp.npz', ['latent', 'log_det', 'decoded', 'train_latent',
                        'train_log_det'])):
    for dtype in ('float32', 'float64'):
      rows = [r for r in lines if r.startswith(file) and dtype in r]
      assert [row[38:66].strip() for row in rows] == arrays
      assert all(' pass' in row for row in rows)
  assert lines[-1] == (
      '72 arrays in 2 files: 72 pass, 0 fail; 0 files could not be compared.')


@pytest.mark.slow
def test_what_is_further_off_than_its_tolerance_fails(tmp_path, capsys):
  actnorm = 'after_init/model/0/1/f1/l_2/actnorm_center/b'
  spoil(GLOW, tmp_path, {
      'bits_per_dim': add(2e-5), 'eps_0': add(2e-5), 'eps_1': add(np.nan),
      'top_latent': add(2e-5), 'logits': add(2e-5), 'decode_float': add(2e-4),
      actnorm: add(2e-5)})
  assert failed(tmp_path, capsys) == [
      'bits_per_dim', 'eps_0', 'eps_1', 'top_latent', 'logits',
      'decode_float', actnorm[:28]]
  # Float32 is given more, but for bits/dim.
  assert failed(tmp_path, capsys, 'float32') == [
      'bits_per_dim', 'eps_1', 'decode_float']


@pytest.mark.slow
def test_real_nvp_can_fail_too(tmp_path, capsys):
  spoil(REAL_NVP, tmp_path, {
      'latent': add(2e-5), 'log_det': add(1e-3), 'decoded': add(2e-4),
      'train_latent': add(2e-4), 'train_log_det': add(1e-3)})
  assert failed(tmp_path, capsys) == [
      'latent', 'log_det', 'decoded', 'train_latent', 'train_log_det']
  assert failed(tmp_path, capsys, 'float32') == [
      'log_det', 'decoded', 'train_latent', 'train_log_det']


@pytest.mark.slow
def test_pixels_may_differ_at_a_rounding_edge_alone(tmp_path):
  """And by one level, that is by 8 where 5 bits are modelled."""
  with np.load(GLOW_5BIT) as file:
    levels = (file['decode_float'] + .5) * 32.
  in_range = np.where((levels > 8.) & (levels < 24.), levels, 0.)
  where = np.unravel_index(
      np.argmax(np.abs(in_range - np.round(in_range))), levels.shape)

  def decoded_images_agree(distance, difference):
    """With one value so far from an edge, and its pixel so far off."""

    def move(decoded):
      decoded = decoded.copy()
      decoded[where] = np.round(levels[where]) / 32. - .5 + distance
      return decoded

    def change(image):
      image = image.copy()
      image[where] += difference
      return image

    spoil(GLOW_5BIT, tmp_path, {'decode_float': move, 'decode_image': change})
    row, = [r for r in parity.compare_file(tmp_path / GLOW_5BIT.name)
            if r.array == 'decode_image']
    assert row.passed == (row.absolute == 0.)
    assert row.note.startswith('1 pixels') == (row.passed and difference > 0)
    return row.passed

  assert decoded_images_agree(distance=2e-4, difference=0)
  assert decoded_images_agree(distance=5e-5, difference=8)
  assert not decoded_images_agree(distance=2e-4, difference=8)
  assert not decoded_images_agree(distance=5e-5, difference=16)


@pytest.mark.parametrize('name', ['', 'no/such/folder'])
def test_a_folder_without_files_is_an_error(name, tmp_path, capsys):
  assert parity.main([str(tmp_path / name)]) == 2
  assert 'There is no .npz file in' in capsys.readouterr().err


def test_another_files_error_is_told_and_the_rest_compared(tmp_path, capsys):
  np.savez(tmp_path / 'another.npz', x=np.zeros(3))
  shutil.copy(REAL_NVP, tmp_path)
  assert parity.main([str(tmp_path), '--dtype', 'float32']) == 1
  output = capsys.readouterr()
  assert 'another.npz has no "config"' in output.err
  assert '5 pass, 0 fail; 1 files could not' in output.out


def test_relative_errors_are_those_of_an_image():
  row = parity.Row('f', 'float32', 'a', *parity._errors(
      [[1., 10.], [.1, .2]], [[1., 11.], [.1, .1]]), tolerance=.5)
  assert row.absolute == 1. and row.relative == pytest.approx(1.)
  assert parity._errors([0.], [0.]) == (0., 0.)
  assert parity._errors([1.], [0.]) == (1., np.inf)
  with pytest.raises(ValueError, match='shape'):
    parity._errors([1.], [[1.]])


@pytest.mark.parametrize('scales', [1, 2, 3])
def test_latents_are_laid_out_as_the_program_does(scales):
  flow = tfp_glow.RealNVP((8, 8, 2), scales=scales, width=1,
                          residual_blocks=1)
  z = tf.reshape(tf.range(256, dtype=tf.float32), [2, 128])
  latents = parity.to_image_layout(flow, z)
  np.testing.assert_array_equal(latents, dinh.to_image_layout(flow, z))
  np.testing.assert_array_equal(parity.from_image_layout(flow, latents), z)


def test_weights_that_do_not_fit_are_told(tmp_path, capsys):
  with np.load(GLOW) as file:
    arrays = dict(file)
  del arrays['weights/model/prior/p/W']
  np.savez(tmp_path / 'glow.npz', **arrays)
  assert parity.main([str(tmp_path)]) == 1
  assert 'missing: model/prior/p/W' in capsys.readouterr().err
