"""Where in an image its bits/dim come from."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg

tfb = tfp.bijectors
tfd = tfp.distributions

SHAPE = (8, 8, 3)
SIZE = math.prod(SHAPE)


def images_of(count=4, seed=0, highest=256):
  return np.random.default_rng(seed).integers(
      0, highest, (count, *SHAPE), dtype=np.uint8)


def moved(flow, images, conditions=None, **kwargs):
  """A model, initialised, with every weight off its start."""
  keras.utils.set_random_seed(0)
  model = tg.FlowModel(flow, **kwargs)
  model.adapt(images, **conditions or {})
  for number, weight in enumerate(model.trainable_weights):
    weight.assign_add(.05 * tf.random.stateless_normal(
        weight.shape, [1, number], dtype=weight.dtype))
  return model


def glow(levels=2, **kwargs):
  return tg.Glow(SHAPE, levels=levels, steps=1, width=4, seed=0, **kwargs)


def own_flow():
  """A flow of one's own, of our layers and TFP's."""
  return tg.Chain([
      tfb.Transpose(perm=[1, 0, 2]),
      tg.Squeeze('position_major'),
      tfb.Permute([2, 0, 1, *range(3, 12)], axis=-1),
      tg.AffineCoupling(
          keras.layers.Conv2D(12, 3, padding='same'), scale='exp'),
      tfb.SinhArcsinh(skewness=.2),
      tfb.ScaleMatvecTriL(2. * tf.eye(12)),
      tfb.Chain([tfb.Scale(tf.range(1., 13.)), tfb.Shift(.1)]),
      tfb.Reshape(event_shape_out=(4, 4, 12), event_shape_in=(SIZE,)),
  ])


_GENERATOR = np.random.default_rng(7)
CONDITIONS = {
    'label': np.array([0, 2, 1, 0]),
    'feature_map': np.float32(_GENERATOR.standard_normal((4, 8, 8, 1))),
    'context': np.float32(_GENERATOR.standard_normal((4, 2)))}
CASES = {
    'glow': (lambda: glow(scale='bounded'), {'num_bits': 5}, {}),
    'glow_three_levels': (
        lambda: glow(3, coupling='additive', permutation='shuffle',
                     learn_top=False), {}, {}),
    'glow_float64_lu': (
        lambda: glow(permutation='lu', dtype=tf.float64),
        {'preprocessing': 'logit'}, {}),
    'glow_conditional': (
        lambda: glow(num_classes=3, feature_map_channels=1, context_size=2,
                     permutation='reverse'), {}, CONDITIONS),
    'real_nvp': (
        lambda: tg.RealNVP(SHAPE, scales=2, width=4, residual_blocks=1, seed=0),
        {'preprocessing': 'logit'}, {}),
    'nice': (lambda: tg.NICE(SIZE, width=8, hidden_layers=1, seed=0),
             {'image_shape': SHAPE}, {}),
    'own': (own_flow, {'image_shape': SHAPE}, {}),
    'base_of_scalars': (glow, {'base': tfd.Logistic(0., 2.)}, {}),
    'base_of_each': (glow, {'base': tfd.Normal(
        np.linspace(0., 1., SIZE, dtype=np.float32), 1.)}, {}),
    'joint_base': (glow, {'base': tfd.MultivariateNormalTriL(
        scale_tril=2. * tf.eye(SIZE))}, {}),
}


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=[pytest.mark.slow] if name == 'real_nvp' else [])
    for name in CASES])
def test_the_sum_over_pixels_is_the_images_bits_per_dim(name):
  make, arguments, conditions = CASES[name]
  images = images_of()
  model = moved(make(), images, conditions, **arguments)
  parts = tg.score_map(model, images, **conditions)
  assert parts.shape == [4, 8, 8]
  rtol = 1e-10 if parts.dtype == tf.float64 else 1e-5
  np.testing.assert_allclose(
      tf.reduce_sum(parts, [1, 2]), model.bits_per_dim(images, **conditions),
      rtol=rtol)


def with_scales(layer, seed):
  """`layer` with log-scales that differ."""
  layer.log_scale.assign(
      np.random.default_rng(seed).standard_normal(layer.log_scale.shape))
  return layer


def local_flow():
  """No value depends on another."""
  return tg.Chain([
      tg.Squeeze('alternating'),
      with_scales(tg.ActNorm(12), 0),
      tg.ChannelPermutation.shuffle(12, seed=0),
      tg.FactorOut(tg.Chain([
          tg.Squeeze(), with_scales(tg.ActNorm(24), 1),
          tfb.Reshape(event_shape_out=(2, 2, 24), event_shape_in=(96,))])),
  ])


def vector_flow():
  return tg.Chain([with_scales(tg.Scale(SIZE), 2)])


def transposed_flow():
  return tg.Chain([
      tfb.Transpose(perm=[1, 0, 2]),
      tfb.Reshape(event_shape_out=SHAPE, event_shape_in=(SIZE,))])


@pytest.mark.parametrize(
    'make', [local_flow, vector_flow, transposed_flow])
def test_parts_go_back_to_the_pixels_that_they_came_from(make):
  """Each pixel's own bits, checked against the density of it alone."""
  model = tg.FlowModel(make(), image_shape=SHAPE)
  images = images_of(2)
  parts = tg.score_map(model, images).numpy()
  changed = images.copy()
  changed[:, 2, 5] = 255 - changed[:, 2, 5]
  difference = tg.score_map(model, changed).numpy() - parts
  expected = model.bits_per_dim(changed) - model.bits_per_dim(images)
  np.testing.assert_allclose(difference[:, 2, 5], expected, atol=1e-5)
  difference[:, 2, 5] = 0.
  np.testing.assert_array_equal(difference, 0.)


def test_scales_go_back_to_the_pixels_that_they_belong_to():
  flow = vector_flow()
  model = tg.FlowModel(flow, image_shape=SHAPE)
  images = images_of(2)
  log_scale = tf.reshape(flow.bijectors[0].log_scale, SHAPE)
  noise = np.random.default_rng(0).random(SHAPE)
  latents = ((images + noise) / 256. - .5) * np.exp(log_scale)
  log_prob = (-.5 * latents**2 - .5 * math.log(2. * math.pi) + log_scale
              - math.log(256.))
  np.testing.assert_allclose(
      tg.score_map(model, images),
      -np.sum(log_prob, axis=-1) / (SIZE * math.log(2.)), rtol=1e-4)


@pytest.mark.parametrize('conv', [tg.InvertibleConv, tg.InvertibleConvLU])
def test_what_a_convolution_mixes_is_spread_over_its_block(conv):
  flow = tg.Chain([
      tg.Squeeze(), conv(12, seed=0),
      tfb.Reshape(event_shape_out=(4, 4, 12), event_shape_in=(SIZE,))])
  images = images_of(2)
  changed = images.copy()
  changed[:, 2, 5] = 255 - changed[:, 2, 5]
  model = tg.FlowModel(flow, image_shape=SHAPE)
  parts = tg.score_map(model, images).numpy()
  blocks = parts.reshape(2, 4, 2, 4, 2)
  assert np.ptp(blocks, axis=(2, 4)).max() < 1e-6 < np.ptp(blocks)
  difference = tg.score_map(model, changed).numpy() - parts
  assert (difference[:, 2:4, 4:6] != 0.).all()
  difference[:, 2:4, 4:6] = 0.
  np.testing.assert_array_equal(difference, 0.)


@pytest.mark.parametrize('levels', [1, 2])
def test_a_pasted_patch_lights_up(levels):
  dark = images_of(64, highest=60)
  model = moved(glow(levels), dark)
  pasted = dark[:8].copy()
  pasted[:, 4:, :4] = 250
  gain = (tg.score_map(model, pasted) - tg.score_map(model, dark[:8])).numpy()
  inside = gain[:, 4:, :4].sum(axis=(1, 2))
  assert (inside > 0.).all()
  assert (inside > .6 * np.abs(gain).sum(axis=(1, 2))).all()


def test_any_number_of_images_comes_in_batches():
  model = moved(glow(1), images_of())
  images = images_of(300)
  parts = tg.score_map(model, images)
  assert parts.shape == [300, 8, 8]
  np.testing.assert_allclose(
      parts[290:], tg.score_map(model, images[290:]), atol=1e-6)


class Cropped(tfb.Bijector):
  """A layer that changes the shape and does not say how."""

  def __init__(self):
    super().__init__(forward_min_event_ndims=1, inverse_min_event_ndims=3)

  def _inverse(self, y):
    return tf.reshape(y[..., ::-1], [-1, SIZE])

  def _forward(self, x):
    return tf.reshape(x, [-1, *SHAPE])[..., ::-1]

  def _inverse_log_det_jacobian(self, y):
    return tf.zeros(y.shape[:-3])

  def _inverse_event_shape(self, shape):
    return tf.TensorShape([SIZE])

  def _forward_event_shape(self, shape):
    return tf.TensorShape(SHAPE)


def test_what_is_refused():
  images = images_of()
  model = tg.FlowModel(tg.Chain([Cropped()]), image_shape=SHAPE)
  with pytest.raises(TypeError, match=r'cropped .*\(8, 8, 3\) to \(192,\)'):
    tg.score_map(model, images)
  model = moved(glow(1), images)
  with pytest.raises(TypeError, match='float32, but uint8'):
    tg.score_map(model, np.float32(images))
  with pytest.raises(ValueError, match='`images` has shape'):
    tg.score_map(model, images[:, :4])
  with pytest.raises(TypeError, match='`label` is no condition'):
    tg.score_map(model, images, label=np.zeros(4, int))
