"""Samples and latents where a flow breaks down, and arguments of `sample`."""

import warnings

import numpy as np
import pytest

from tests import test_model
import tfp_glow as tg

IMAGES = test_model.random_images(4)


@pytest.fixture(scope='module')
def model():
  return test_model.make_model()


@pytest.fixture(scope='module')
def breaks():
  """A flow whose samples at a high temperature are not finite."""
  model = test_model.make_model()
  scale = model.flow.bijectors[1].log_scale
  scale.assign(np.full_like(scale, -11.))
  return model


def test_images_that_are_not_finite_are_counted_and_no_picture(breaks):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    breaks.sample(3, temperature=1e-9, seed=0)
  latents = np.zeros((3, 32), np.float32)
  latents[1] = 1e30
  with pytest.warns(UserWarning, match='1 of 3 images .*rows 1.*temperature'
                    ".*scale='bounded'"):
    images = breaks.decode(latents)
  np.testing.assert_array_equal(images[1], breaks.pixels.broken_image())
  assert np.any(images[0] != breaks.pixels.broken_image())
  with pytest.warns(UserWarning, match='3 of 3 images are not finite'):
    breaks.sample(3, temperature=1e30, seed=0)
  with pytest.warns(UserWarning, match='2 of 4 images are not finite'):
    tg.manipulate(breaks, IMAGES[:2], np.full(32, 1e30), [0., 1.])


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(model, bad):
  latents = np.zeros((2, 32), np.float32)
  latents[1, 3] = bad
  with pytest.raises(ValueError, match=f'`latents` must be finite.*{bad}'):
    model.decode(latents)


def test_encode_tells_which_images_do_not_come_back(model):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    latents = model.encode(IMAGES, check=True)
  np.testing.assert_array_equal(latents, model.encode(IMAGES))
  conv = model.flow.bijectors[2].kernel
  good = conv.numpy()
  try:
    u, s, v = np.linalg.svd(good)
    s[-1] = 1e-9  # nearly singular: rounding is enlarged
    conv.assign(u * s @ v)
    with pytest.warns(UserWarning, match='of 4 images do not come back'):
      model.encode(IMAGES, check=True)
  finally:
    conv.assign(good)


@pytest.mark.parametrize('call, error, words', [
    (lambda m: m.sample([2, 3]), ValueError, ['`num_samples`', '[2, 3]']),
    (lambda m: m.sample(2.5), ValueError, ['`num_samples`', '2.5']),
    (lambda m: m.sample(2, seed=1.5), TypeError, ['`seed`', '1.5']),
    (lambda m: m.sample(2, seed='a'), TypeError, ['`seed`', "'a'"]),
    (lambda m: m.sample(2, seed=2**64), ValueError, ['`seed`', '64 bits']),
    (lambda m: m.sample(2, 'hot'), TypeError, ['`temperature`', 'hot']),
    (lambda m: m.sample(2, 1j), TypeError, ['`temperature`', '1j']),
    (lambda m: tg.FlowModel(m.flow, seed=1.5), TypeError, ['`seed`', '1.5']),
    (lambda m: tg.FlowModel(m.flow, seed=-1), ValueError, ['`seed`', '-1']),
    (lambda m: tg.InvertibleConv(2, seed=-1), ValueError, ['`seed`', '-1']),
    (lambda m: m.decode(np.zeros([0, 32])), ValueError, ['`latents`', 'empty']),
    (lambda m: m.decode('a'), TypeError, ['`latents`', 'string', 'floats']),
    (lambda m: m.decode(None), TypeError, ['`latents`', 'None']),
    (lambda m: m.decode(np.zeros([1, 32], complex)),
     TypeError, ['`latents`', 'complex128', 'floats']),
])
def test_numbers_that_are_none_are_refused(model, call, error, words):
  with pytest.raises(error) as caught:
    call(model)
  for word in words:
    assert word in str(caught.value)


def test_numbers_of_numpy_are_taken(model):
  np.testing.assert_array_equal(
      model.sample(np.int64(2), seed=np.int32(3)), model.sample(2, seed=3))
