"""How stable a flow is: samples, round trips, and what amplifies."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow as tg
from training import callbacks
from training import data
from training import evaluation
from training import models
from training import stability
from training.configs import digits

tfb = tfp.bijectors
IMAGES = np.random.default_rng(0).integers(
    0, 256, (6, 4, 4, 1), dtype=np.uint8)
MASK = tg.Checkerboard('even')
LABELS = np.array([0, 1, 2, 0, 1, 2])


def moved(flow, noise=.2):
  """`flow`, with every weight moved off its initial value."""
  rng = np.random.default_rng(0)
  for variable in flow.trainable_variables:
    variable.assign_add(
        noise * rng.standard_normal(variable.shape, dtype=np.float32))
  return flow


@pytest.fixture(scope='module')
def glow():
  flow = moved(tg.Glow((4, 4, 1), levels=2, steps=1, width=4, num_classes=3,
                       seed=0))
  return tg.FlowModel(flow, num_bits=4)


@pytest.fixture(scope='module')
def measured(glow):
  return stability.Stability(glow, batch_size=4)


@pytest.fixture(scope='module')
def exploding_model():
  """Overflows where a latent is above 83."""
  flow = tg.Chain([tfb.Exp(), tfb.Reshape([2, 1, 1], event_shape_in=[2])])
  return tg.FlowModel(flow, num_bits=8, image_shape=(2, 1, 1))


@pytest.fixture(scope='module')
def exploding(exploding_model):
  return stability.Stability(exploding_model, batch_size=3)


def test_samples_that_are_not_finite_or_far_outside_are_counted(
    exploding, exploding_model):
  latents = exploding_model.sample_latents(20, 60., seed=3).numpy()
  broken = (latents > np.log(3.4e38 / 256.)).any(axis=1)
  beyond = (latents > 0.).any(axis=1) & ~broken  # exp(z) > 1
  assert 0 < broken.sum() and 0 < beyond.sum()
  assert broken.sum() + beyond.sum() < 20
  assert exploding.samples(20, 60., seed=3) == {
      'not_finite': pytest.approx(broken.mean()),
      'beyond_twice_the_range': pytest.approx(beyond.mean())}


def test_samples_below_the_range_are_beyond_it_too():
  flow = tg.Chain([tfb.Reshape([1, 1, 1], event_shape_in=[1])])
  model = tg.FlowModel(flow, num_bits=3, image_shape=(1, 1, 1))
  measured = stability.Stability(model)
  latents = model.sample_latents(200, 1., seed=0).numpy()
  assert measured.samples(200, 1.) == {
      'not_finite': 0.,
      'beyond_twice_the_range': pytest.approx((np.abs(latents) > 1.).mean())}
  assert measured.samples(200, 0.) == {
      'not_finite': 0., 'beyond_twice_the_range': 0.}


def test_images_that_do_not_come_back_are_found(measured, exploding):
  assert measured.comes_back(IMAGES, label=LABELS).all()
  # The logarithm of what is below 0 is not a number.
  grey = np.full([5, 2, 1, 1], 200, np.uint8)
  grey[[1, 4], 0] = 3
  np.testing.assert_array_equal(
      exploding.comes_back(grey), [True, False, True, True, False])


@pytest.mark.slow
def test_conditions_are_taken_in_turn(measured):
  np.testing.assert_array_equal(
      measured.encode_amplification(IMAGES, label=LABELS),
      measured.encode_amplification(IMAGES, label=LABELS[:3]))
  assert measured.samples(7, 1., label=[2, 0]).keys() == {
      'not_finite', 'beyond_twice_the_range'}


@pytest.mark.slow
def test_amplification_is_the_largest_singular_value(glow, measured):
  bijector = glow.distribution.bijector
  values = tf.constant((IMAGES >> 4) + .5, tf.float32)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(values)
    latents = bijector.inverse(tf.identity(values), label=LABELS)
  jacobian = tape.batch_jacobian(
      latents, values, experimental_use_pfor=False).numpy()
  singular = np.linalg.svd(16. * jacobian.reshape(-1, 16, 16))[1]
  np.testing.assert_allclose(
      measured.encode_amplification(IMAGES, label=LABELS), singular[:, 0],
      rtol=.05)
  np.testing.assert_allclose(
      measured.decode_amplification(latents, label=LABELS),
      1. / singular[:, -1], rtol=.05)


def test_a_sample_that_breaks_down_amplifies_without_bound(exploding):
  growth = exploding.decode_amplification(
      tf.constant([[90., 0.], [3., -1.]]))
  assert growth[0] == np.inf
  assert growth[1] == pytest.approx(np.exp(3.), rel=.01)


@pytest.mark.parametrize('way', [
    pytest.param('images', marks=pytest.mark.slow), 'latents'])
def test_layers_are_seen_alone(way, glow, measured):
  latents = glow.encode(IMAGES, label=LABELS)
  layers = measured.layers(label=LABELS, **{
      way: IMAGES if way == 'images' else latents})
  step = ['ActNorm', 'InvertibleConv', 'AffineCoupling']
  assert [layer['kind'] for layer in layers] == [
      *step, 'FactorOut', *step, 'TopPrior']
  assert layers[0]['layer'] == 'level 0, layer 1'
  assert layers[-1]['layer'] == 'level 1, layer 4'
  assert {layer['not_finite'] for layer in layers} == {0}
  _, actnorm, conv, _, factor_out = glow.flow.bijectors
  scale = np.exp(3. * actnorm.log_scale.numpy())
  singular = np.linalg.svd(conv.kernel.numpy())[1]
  for layer, want in zip(layers, (scale, singular)):
    assert layer['encode'] == pytest.approx(want.max(), rel=.01)
    assert layer['decode'] == pytest.approx(1. / want.min(), rel=.01)
  top = factor_out.rest.bijectors[1]
  assert layers[4]['encode'] == pytest.approx(
      np.exp(3. * top.log_scale.numpy()).max(), rel=.01)


@pytest.mark.slow
def test_the_split_prior_is_a_layer_of_its_own(glow, measured):
  layer = measured.layers(images=IMAGES, label=LABELS)[3]
  factor_out = glow.flow.bijectors[4]
  before = [v.numpy() for v in factor_out.conditioner.trainable_variables]
  for variable in factor_out.conditioner.trainable_variables:
    variable.assign(tf.zeros_like(variable))
  alone = measured.layers(images=IMAGES, label=LABELS)[3]
  for variable, value in zip(
      factor_out.conditioner.trainable_variables, before):
    variable.assign(value)
  assert alone['encode'] == pytest.approx(1., abs=.01)
  assert alone['decode'] == pytest.approx(1., abs=.01)
  assert layer['encode'] > 1.1 and layer['decode'] > 1.1


def test_rows_that_are_not_finite_are_counted_where_they_break(exploding):
  layer, = exploding.layers(latents=tf.constant([[90., 0.], [3., -1.]]))
  assert layer['kind'] == 'Exp' and layer['not_finite'] == 1
  assert layer['decode'] == pytest.approx(np.exp(3.), rel=.01)
  layer, = exploding.layers(latents=tf.constant([[90., 0.]]))
  assert layer['decode'] is None and layer['encode'] is None


@pytest.mark.parametrize('make, conditions, first, last', [
    (lambda: tg.Glow((4, 4, 1), levels=1, steps=1, width=4,
                     feature_map_channels=1, seed=0),
     {'feature_map': IMAGES.astype(np.float32)}, 'ActNorm', 'TopPrior'),
    (lambda: tg.NICE(16, couplings=2, hidden_layers=1, width=8, seed=0), {},
     'AdditiveCoupling', 'Scale'),
    (lambda: tg.Chain([
        tg.AffineCoupling(lambda kept: tf.concat([kept, kept], axis=-1),
                          MASK, scale='tanh'),
        tg.BatchNorm(1, MASK),
        tfb.Reshape([4, 4, 1], event_shape_in=[16])]), {},
     'AffineCoupling', 'BatchNorm'),
    (lambda: tg.Glow((4, 4, 1), levels=1, steps=1, width=4,
                     memory='recompute', seed=0), {}, 'ActNorm', 'TopPrior'),
])
def test_any_flow_can_be_measured(make, conditions, first, last):
  measured = stability.Stability(
      tg.FlowModel(make(), image_shape=(4, 4, 1)))
  layers = measured.layers(images=IMAGES, **conditions)
  assert (layers[0]['kind'], layers[-1]['kind']) == (first, last)
  assert np.isfinite(
      measured.encode_amplification(IMAGES[:2], **conditions)).all()


@pytest.mark.parametrize('dtype, white', [(np.uint8, 255), (np.uint16, 65535)])
def test_images_outside_a_data_set(dtype, white):
  inside = np.random.default_rng(0).integers(
      0, white, (50, 4, 4, 1), dtype, endpoint=True)
  outside = stability.outside(inside)
  assert list(outside) == ['noise', 'constant', 'inverted']
  for images in outside.values():
    assert images.shape == inside.shape and images.dtype == dtype
    assert images.min() < .1 * white and images.max() > .9 * white
  constant = outside['constant']
  assert (constant == constant[:, :1, :1]).all()
  assert sorted({0, white} & set(constant.ravel())) == [0, white]
  assert (outside['inverted'] + inside == white).all()


def test_an_error_that_is_not_finite_is_no_error_of_zero(exploding_model):
  bright, dark = np.full((2, 2, 1, 1), 200, np.uint8), np.zeros(
      (2, 2, 1, 1), np.uint8)  # of which there is no logarithm
  for images, is_finite, exact in (
      ([bright, bright], True, 4), ([bright, dark], False, 2),
      ([dark, bright], False, 2)):
    batches = tf.data.Dataset.from_tensor_slices(np.stack(images))
    error, count = evaluation.reconstruction(exploding_model, batches)
    assert np.isfinite(error) == is_finite and count == exact


@pytest.mark.slow
def test_a_bounded_flow_stays_invertible_when_trained_long():
  """At a rate that does not fall, far beyond the recipe's 750 steps."""
  recipe = digits.get_config()
  recipe.model.update(steps=4, width=32, scale='bounded')
  recipe.optimizer.schedule = 'constant'
  images = data.open(recipe.data)
  model = models.build(recipe, images.image_shape, None)
  models.compile_model(model, recipe)
  model.adapt(images.train_examples(512, seed=0)[0])
  held_out, _ = evaluation.images_and_labels(images.eval_batches(100))
  check = tg.ReconstructionCheck(held_out[:32], every=1000)
  model.fit(images.train_batches(100, seed=0), steps_per_epoch=4000, verbose=0,
            callbacks=[check])
  assert evaluation.bits_per_dim(
      model, images.eval_batches(100)).mean() < 2.2
  measured = stability.Stability(model)
  for kind, rows in {'held-out': held_out,
                     **stability.outside(held_out)}.items():
    assert measured.comes_back(rows).all(), kind
  for temperature in (1., 2.):
    assert measured.samples(1000, temperature)['not_finite'] == 0.
  assert [step for step, _ in check.noise_history] == [1000, 2000, 3000, 4000]
  assert max(error for _, error in check.noise_history) < 1e-3


def test_graphs_are_traced_once_for_all_fits_of_a_run(
    exploding_model, glow, monkeypatch):
  measured = []
  monkeypatch.setattr(stability, 'Stability',
                      lambda model, size: measured.append(model))
  evaluate = callbacks.Evaluate(digits.get_config(), None, '', 0, None)
  for model in (glow, glow, exploding_model):
    evaluate.set_model(model)
  assert measured == [glow, exploding_model]


def test_a_run_goes_on_where_held_out_images_have_no_latents(
    exploding_model, caplog):
  recipe = digits.get_config()
  images = np.full((8, 2, 1, 1), 200, np.uint8)
  images[3] = 0  # of which there is no logarithm
  held_out = types.SimpleNamespace(
      num_classes=None, eval_batches=lambda *_: (
          tf.data.Dataset.from_tensors(images)))
  evaluate = callbacks.Evaluate(recipe, held_out, '', 0, None)
  evaluate.set_model(exploding_model)
  scalars, grids = evaluate._evaluate(0)
  assert '1 of 8 images have no finite density' in caplog.text
  assert np.isnan(scalars['eval_bits_per_dim'])
  _, (shown, decoded), _ = grids[1]
  np.testing.assert_array_equal(decoded[4:], shown[4:])
  np.testing.assert_array_equal(
      decoded[3], exploding_model.pixels.broken_image())
