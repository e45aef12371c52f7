"""Bad input gets an error that names it and says what is needed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg

IMAGES = test_model.random_images(4)


def zeros(*shape, dtype=tf.float32):
  return tf.zeros(shape, dtype)


@pytest.fixture(scope='module')
def model():
  return test_model.make_model()


@pytest.fixture(scope='module')
def class_model():
  return test_model.make_model(num_classes=3)


@pytest.mark.parametrize('call,error,words', [
    (lambda: tg.Squeeze().inverse(zeros(1, 5, 4, 2)),
     ValueError, ['`y`', 'height 5', 'even']),
    (lambda: tg.Squeeze().inverse(zeros(1, 4, 7, 2)),
     ValueError, ['`y`', 'width 7', 'even']),
    (lambda: tg.Squeeze().forward(zeros(1, 4, 4, 6)),
     ValueError, ['`x`', '6 channels', 'multiple of 4']),
    (lambda: tg.Squeeze('zigzag'), ValueError, ['`order`', 'zigzag']),
    (lambda: tg.AffineCoupling(lambda y: y).inverse(zeros(1, 4, 4, 3)),
     ValueError, ['`y`', '3', 'even number of channels']),
    (lambda: tg.FactorOut(tg.ActNorm(1)).inverse(zeros(1, 4, 4, 3)),
     ValueError, ['`y`', '3 channels', 'even']),
    (lambda: tg.ActNorm(3).inverse(zeros(2, 3)),
     ValueError, ['`y`', '(2, 3)', 'rank 3']),
    (lambda: tg.ActNorm(3).inverse(zeros(1, 4, 4, 2)),
     ValueError, ['`y`', '2 channels', '3 are needed']),
    (lambda: tg.InvertibleConv(3).forward(zeros(1, 4, 4, 2)),
     ValueError, ['`x`', '2 channels', '3 are needed']),
    (lambda: tg.ActNorm(2).inverse(zeros(1, 4, 4, 2, dtype=tf.float64)),
     TypeError, ['`y`', 'float64', 'float32']),
    (lambda: tg.ActNorm(2).forward(zeros(1, 4, 4, 2, dtype=tf.int32)),
     TypeError, ['`x`', 'int32', 'float32']),
    (lambda: tg.ActNorm(2, dtype=tf.float16), ValueError, ['`dtype`', '16']),
    (lambda: tg.ActNorm(0), ValueError, ['`channels`', '0']),
    (lambda: tg.AffineCoupling(keras.layers.Conv2D(3, 1)).inverse(
        zeros(1, 4, 4, 4)),
     ValueError, ['`conditioner`', '3', '(4, 4, 4)', 'shifts first']),
    (lambda: tg.AdditiveCoupling(keras.layers.Conv2D(1, 1)).inverse(
        zeros(1, 4, 4, 4)),
     ValueError, ['`conditioner`', '(4, 4, 1)', '(4, 4, 2)']),
    (lambda: tg.FactorOut(
        tg.ActNorm(2), keras.layers.Conv2D(3, 1)).inverse(zeros(1, 4, 4, 4)),
     ValueError, ['`conditioner`', 'means first']),
    (lambda: tg.AffineCoupling(7), TypeError, ['`conditioner`', '7']),
    (lambda: tg.AffineCoupling(abs, scale='cube'),
     ValueError, ['`scale`', 'cube', 'sigmoid']),
    (lambda: tg.Checkerboard('first'), ValueError, ['`kept`', 'even', 'odd']),
    (lambda: tg.ChannelPermutation([0, 2]), ValueError, ['`order`', '[0, 2]']),
    (lambda: tg.ActNorm(2).inverse(zeros(1, 4, 4, 2), label=[1]),
     TypeError, ['`label`', 'no layer of']),
    (lambda: tg.ActNorm(2).forward_log_det_jacobian(
        zeros(1, 4, 4, 2), 3, noise=1.), TypeError, ['`noise`']),
    (lambda: tg.ActNorm(2).initialize(zeros(0, 4, 4, 2)),
     ValueError, ['`y`', 'empty', 'at least one']),
    (lambda: tg.ActNorm(2).inverse(zeros(1, 4, 4, 2) + np.nan),
     tf.errors.InvalidArgumentError, ['`y`', 'finite']),
    (lambda: tg.ActNorm(2).forward(zeros(1, 4, 4, 2) + np.inf),
     tf.errors.InvalidArgumentError, ['`x`', 'finite']),
    (lambda: tf.function(tg.ActNorm(2, validate_args=True).inverse)(
        zeros(1, 4, 4, 2) + np.nan),
     tf.errors.InvalidArgumentError, ['`y`', 'finite']),
    (lambda: tg.BatchNorm(2).forward(zeros(1, 4, 4, 2), training=True),
     ValueError, ['`training=True`', 'running averages']),
    (lambda: tg.Chain([]), ValueError, ['`bijectors`', 'empty']),
    (lambda: tg.Chain([tg.ActNorm(2), tg.ActNorm(2, dtype=tf.float64)]),
     ValueError, ['`bijectors`', 'float32', 'float64']),
    (lambda: tg.Scale(3).inverse(zeros(1, 4)),
     ValueError, ['`y`', '4', '3 are needed']),
    (lambda: tg.Glow((6, 8, 3), levels=3),
     ValueError, ['`image_shape`', 'height 6', 'multiple of 8']),
    (lambda: tg.Glow((8, 8)), ValueError, ['`image_shape`', '(8, 8)']),
    (lambda: tg.Glow((8, 8, 3), steps=0), ValueError, ['`steps`', '0']),
    (lambda: tg.Glow((8, 8, 3), coupling='cubic'),
     ValueError, ['`coupling`', 'cubic', 'additive']),
    (lambda: tg.Glow((8, 8, 3), permutation='none'),
     ValueError, ['`permutation`', 'none', 'conv1x1']),
    (lambda: tg.Glow((8, 8, 3), num_classes=-1),
     ValueError, ['`num_classes`', '-1']),
    (lambda: tg.Glow((8, 8, 3), classifier=True),
     ValueError, ['`classifier=True`', '`num_classes`']),
])
def test_layers_and_systems(call, error, words):
  with pytest.raises(error) as caught:
    call()
  for word in words:
    assert word in str(caught.value)


def test_glow_says_what_its_latents_and_conditions_must_be():
  flow = tg.Glow((4, 4, 2), levels=2, steps=1, width=3, seed=0, num_classes=3,
                 context_size=2)
  y, context = zeros(2, 4, 4, 2), zeros(2, 2)
  with pytest.raises(ValueError, match=r'16 \+ 16'):
    flow.split_latent(zeros(2, 31))
  with pytest.raises(ValueError, match='`parts`'):
    flow.join_latent([zeros(2, 2, 2, 4)])
  with pytest.raises(TypeError, match='context='):
    flow.inverse(y, label=[0, 1])
  with pytest.raises(ValueError, match=r'`context`.*\(2, 3\).*2\] is needed'):
    flow.inverse(y, label=[0, 1], context=zeros(2, 3))
  with pytest.raises(TypeError, match='label='):
    flow.inverse(y, context=context)
  with pytest.raises(TypeError, match='`label` has dtype float32'):
    flow.inverse(y, label=[0., 1.], context=context)
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'0 \.\. 2'):
    flow.inverse(y, label=[0, 3], context=context)
  with pytest.raises(TypeError, match='`feature_map`: no layer of'):
    flow.inverse(y, label=[0, 1], context=context, feature_map=y)


@pytest.mark.parametrize('method', ['log_prob', 'bits_per_dim', 'encode',
                                    'adapt', 'fit'])
@pytest.mark.parametrize('images,error,words', [
    (IMAGES / 255., TypeError, ['float64', 'uint8']),
    (np.full(IMAGES.shape, np.nan, np.float32), TypeError,
     ['float32', 'uint8']),
    (IMAGES.astype(np.int32), TypeError, ['int32', 'uint8']),
    (IMAGES[..., :1], ValueError, ['(4, 4, 4, 1)', '[None, 4, 4, 2]']),
    (IMAGES[0], ValueError, ['(4, 4, 2)', '[None, 4, 4, 2]']),
    (IMAGES[:0], ValueError, ['empty', 'at least one']),
])
def test_images(model, method, images, error, words):
  model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  before = [v.numpy() for v in model.flow.variables]
  with pytest.raises(error) as caught:
    getattr(model, method)(images)
  for word in ['`images`', *words]:
    assert word in str(caught.value)
  for old, variable in zip(before, model.flow.variables):
    np.testing.assert_array_equal(variable, old)


@pytest.mark.parametrize('call,error,words', [
    (lambda m: m.decode(np.zeros([2, 31])), ValueError,
     ['`latents`', '(2, 31)', '[N, 32]']),
    (lambda m: m.sample(0), ValueError, ['`num_samples`', '0']),
    (lambda m: m.sample(2, temperature=-1.), ValueError,
     ['`temperature`', '-1']),
    (lambda m: m.sample(2, temperature=np.nan), ValueError,
     ['`temperature`', 'nan']),
    (lambda m: m.sample(2, temperature=[1.] * 3), ValueError,
     ['`temperature`', 'one for each sample', '(3,)']),
    (lambda m: m.sample(2, temperature=[[1.] * 3]), ValueError,
     ['`temperature`', 'each level', '[2 or 1, 2]', '(1, 3)']),
    (lambda m: m.sample(2, temperature=np.inf), ValueError,
     ['`temperature`', 'finite', 'inf']),
    (lambda m: m.sample(2, label=1), TypeError, ['`label`', 'takes none']),
    (lambda m: m.log_prob(IMAGES, colour=1), TypeError,
     ['`colour`', 'takes none']),
    (lambda m: m.fit(IMAGES, sample_weight=np.ones(4)), ValueError,
     ['`sample_weight`']),
    (lambda m: m.adapt(tf.data.Dataset.from_tensor_slices(
        IMAGES[:0]).batch(2)), ValueError, ['`images`', 'empty']),
    (lambda m: tg.FlowModel(m.flow, num_bits=17), ValueError,
     ['`num_bits`', '17', '1 .. 16']),
    (lambda m: tg.FlowModel(m.flow, preprocessing='none'), ValueError,
     ['`preprocessing`', 'none', 'logit']),
    (lambda m: tg.FlowModel(m.flow, image_shape=(8, 8, 2)), ValueError,
     ['`image_shape`', '(8, 8, 2)', '(4, 4, 2)']),
    (lambda m: tg.FlowModel(tg.Chain([tg.Scale(4)])), ValueError,
     ['`image_shape`', '(H, W, C)']),
    (lambda m: tg.FlowModel(m.flow, weight_y=.1), ValueError,
     ['`weight_y`', 'classifier=True']),
    (lambda m: tg.interpolate(m, IMAGES, IMAGES[:2], 3), ValueError,
     ['`a`', '`b`', '(2, 4, 4, 2)']),
    (lambda m: tg.interpolate(m, IMAGES, IMAGES, 1), ValueError,
     ['`num_steps`', '1']),
    (lambda m: tg.interpolate(m, IMAGES, IMAGES, 3, method='round'),
     ValueError, ['`method`', 'round', 'spherical']),
    (lambda m: tg.manifold(m, IMAGES[:3]), ValueError, ['`images`', '3']),
    (lambda m: tg.manifold(m, IMAGES, 0), ValueError, ['`num_steps`', '0']),
    (lambda m: tg.resample_levels(m, IMAGES, [0, 2]), ValueError,
     ['`levels`', '2', '0 .. 1']),
    (lambda m: tg.resample_levels(m, IMAGES, [0], temperature=-1.),
     ValueError, ['`temperature`', '-1']),
    (lambda m: tg.attribute_direction(m, IMAGES[:0], IMAGES), ValueError,
     ['`positives`', 'empty']),
    (lambda m: tg.attribute_direction(m, IMAGES, []), ValueError,
     ['`negatives`', 'empty']),
    (lambda m: tg.attribute_direction(
        m, [IMAGES], IMAGES, positive_conditions={'label': [0] * 4}),
     ValueError, ['`positive_conditions`', '`positives`', 'iterable']),
    (lambda m: tg.manipulate(m, IMAGES, np.zeros(3), [1.]), ValueError,
     ['`direction`', '3']),
    (lambda m: tg.manipulate(m, IMAGES, np.zeros(32), 1.), ValueError,
     ['`strengths`']),
])
def test_flow_model(model, call, error, words):
  with pytest.raises(error) as caught:
    call(model)
  for word in words:
    assert word in str(caught.value)


@pytest.mark.parametrize('label,error,words', [
    (None, TypeError, ['`label`', 'class-conditional']),
    ([0, 1, 2, 3], ValueError, ['`label`', '3', '0 .. 2']),
    ([0, 1, 2, -1], ValueError, ['`label`', '-1', '0 .. 2']),
    ([0., 1., 2., 0.], TypeError, ['`label`', 'float', 'integers']),
])
@pytest.mark.parametrize('method', ['log_prob', 'encode', 'adapt'])
def test_labels(class_model, method, label, error, words):
  with pytest.raises(error) as caught:
    getattr(class_model, method)(IMAGES, label)
  for word in words:
    assert word in str(caught.value)


def test_fit_without_the_labels_it_needs(class_model):
  class_model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  with pytest.raises(TypeError, match='label'):
    class_model.fit(IMAGES, verbose=0)


@pytest.mark.parametrize('make,shape,fitting,padded,pad', [
    (lambda shape, n: tg.Glow(shape, levels=n, steps=1, width=2),
     (28, 28, 1), '`levels=2`', (32, 32), '`data.pad=2`'),
    (lambda shape, n: tg.Glow(shape, levels=n, steps=1, width=2),
     (12, 24, 1), '`levels=2`', (16, 24), None),
    (lambda shape, n: tg.Glow(shape, levels=n, steps=1, width=2),
     (15, 15, 1), None, (16, 16), None),
    (lambda shape, n: tg.RealNVP(shape, scales=n + 1, width=2,
                                 residual_blocks=1),
     (28, 28, 1), '`scales=3`', (32, 32), '`data.pad=2`'),
    (lambda shape, n: tg.RealNVP(shape, scales=n + 1, width=2,
                                 residual_blocks=1),
     (15, 14, 1), '`scales=1`', (16, 16), None),
])
def test_images_that_cannot_be_halved_so_often(
    make, shape, fitting, padded, pad):
  """What the error says fits does."""
  with pytest.raises(ValueError, match='a multiple of 8 is needed') as error:
    make(shape, 3)
  words = str(error.value)
  assert f'Images of {padded[0]}x{padded[1]} would fit' in words
  make((*padded, 1), 3)
  assert (pad in words) if pad else ('data.pad' not in words)
  if fitting is None:
    assert words.count('=') == 1
  else:
    assert words.endswith(f', or {fitting}.')
    count = int(fitting[-2])
    make(shape, count - 1 if 'scales' in fitting else count)
