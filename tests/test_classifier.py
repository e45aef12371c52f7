"""The classifier head, and its part in the loss of `FlowModel`."""

import math

import keras
import numpy as np
import pytest

import tfp_glow

SHAPE = (8, 4, 2)
CLASSES = 3
WEIGHT_Y = .25


def make_flow(**kwargs):
  """A small class-conditional Glow, every weight off its initial value."""
  kwargs = {'levels': 2, 'steps': 1, 'width': 4, 'num_classes': CLASSES,
            'classifier': True, 'seed': 0, **kwargs}
  flow = tfp_glow.Glow(SHAPE, **kwargs)
  rng = np.random.default_rng(0)
  for variable in flow.trainable_variables:
    variable.assign_add(.1 * rng.standard_normal(variable.shape))
  return flow


def make_data(num_images=12):
  rng = np.random.default_rng(1)
  images = rng.integers(0, 256, (num_images, *SHAPE), dtype=np.uint8)
  return images, np.arange(num_images, dtype=np.int32) % CLASSES


def make_model(weight_y=WEIGHT_Y, **kwargs):
  model = tfp_glow.FlowModel(make_flow(), weight_y=weight_y, seed=0, **kwargs)
  model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
  return model


def cross_entropy_in_bits(logits, labels):
  logits = np.asarray(logits, np.float64)
  logits = logits - logits.max(-1, keepdims=True)
  probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  return -np.log2(probs[np.arange(len(labels)), labels])


def test_logits_are_a_linear_function_of_the_mean_top_latent():
  flow = make_flow()
  images, labels = make_data()
  z = flow.inverse(images / np.float32(256.) - np.float32(.5), label=labels)
  head = flow.classifier
  mean = flow.top_latent(z, labels).numpy().mean((1, 2))
  expected = (mean @ head.kernel.numpy() + head.bias.numpy()) * np.exp(
      3. * head.log_scale.numpy())
  np.testing.assert_allclose(
      flow.class_logits(z, labels), expected, rtol=0., atol=1e-5)
  assert flow.class_logits(z, labels).shape == (12, CLASSES)


def test_logits_do_not_depend_on_the_label_that_images_are_encoded_with():
  flow = make_flow()
  images, labels = make_data()
  images = images / np.float32(256.) - np.float32(.5)
  others = (labels + 1) % CLASSES
  z = flow.inverse(images, label=labels)
  other_z = flow.inverse(images, label=others)
  assert np.abs(z - other_z).max() > .01
  np.testing.assert_allclose(
      flow.class_logits(z, labels), flow.class_logits(other_z, others),
      rtol=0., atol=1e-5)


def test_the_loss_is_bits_per_dim_and_the_weighted_cross_entropy_in_bits():
  model = make_model()
  images, labels = make_data()
  results = model.evaluate(
      images, labels, batch_size=len(images), verbose=0, return_dict=True)
  logits = model({'images': images, 'label': labels})['class_logits'].numpy()
  bits = np.mean(model.bits_per_dim(images, labels))
  expected = bits + WEIGHT_Y * cross_entropy_in_bits(logits, labels).mean()
  assert math.isclose(results['loss'], expected, rel_tol=1e-5)
  assert math.isclose(results['bits_per_dim'], bits, rel_tol=1e-5)
  error = np.mean(logits.argmax(-1) != labels)
  assert 0. < error < 1.
  assert math.isclose(results['classification_error'], error, rel_tol=1e-5)


def test_errors_are_averaged_over_batches_and_start_anew():
  model = make_model()
  images, labels = make_data()
  whole, parts = (
      model.evaluate(images, labels, batch_size=size, verbose=0,
                     return_dict=True) for size in (12, 4))
  assert math.isclose(
      whole['classification_error'], parts['classification_error'],
      rel_tol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_classification_error():
  model = make_model(weight_y=10.)
  rng = np.random.default_rng(2)
  labels = np.arange(48, dtype=np.int32) % CLASSES
  # Dark, grey and light images: as easy as can be.
  images = (rng.integers(0, 20, (48, *SHAPE)) + 100 * labels.reshape(
      [-1, 1, 1, 1])).astype(np.uint8)
  model.adapt(images, labels)
  before = model.flow.classifier.kernel.numpy()
  history = model.fit(
      images, labels, batch_size=48, epochs=40, verbose=0).history
  assert history['classification_error'][-1] <= .1
  assert np.abs(model.flow.classifier.kernel.numpy() - before).max() > .01


def test_without_a_weight_the_head_has_no_part_in_the_loss():
  model = make_model(weight_y=0.)
  images, labels = make_data()
  results = model.evaluate(images, labels, verbose=0, return_dict=True)
  assert 'classification_error' not in results
  assert results['loss'] == results['bits_per_dim']


# Keras says so of every model that is compiled and saved before it is trained.
@pytest.mark.filterwarnings('ignore:Skipping variable loading for optimizer')
def test_the_weight_is_saved(tmp_path):
  model = make_model()
  model.save(tmp_path / 'model.keras')
  loaded = keras.saving.load_model(tmp_path / 'model.keras')
  assert loaded.weight_y == WEIGHT_Y
  images, labels = make_data()
  np.testing.assert_array_equal(
      loaded({'images': images, 'label': labels})['class_logits'],
      model({'images': images, 'label': labels})['class_logits'])


def test_a_weight_needs_a_head_and_a_head_needs_classes():
  with pytest.raises(ValueError, match='`weight_y`'):
    tfp_glow.FlowModel(make_flow(classifier=False), weight_y=WEIGHT_Y)
  with pytest.raises(ValueError, match='`weight_y`'):
    tfp_glow.FlowModel(make_flow(), weight_y=-1.)
  with pytest.raises(ValueError, match='`num_classes`'):
    make_flow(num_classes=None)
  flow = make_flow(classifier=False)
  with pytest.raises(ValueError, match='classifier=True'):
    flow.class_logits(np.zeros([1, 32], np.float32), [0])
