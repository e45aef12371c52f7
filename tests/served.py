"""Models to serve, requests to them, and the right answers."""

import math

import numpy as np
import tensorflow as tf

from tests import dinh
from tests import test_model
import tfp_glow as tg

SHAPE = test_model.SHAPE
SIZE = 32
NAMES = ('glow', 'glow_lu', 'glow_conditions', 'real_nvp', 'nice')
NUM_CLASSES = 3
DIRECTIONS = {
    'smiling': np.random.default_rng(3).normal(0., .1, SIZE).astype(np.float32),
    'größer': np.linspace(-.2, .2, SIZE, dtype=np.float32)}
SIGNATURES = (
    'serving_default', 'log_prob', 'encode', 'decode', 'sample',
    'sample_levels', 'resample_levels', 'interpolate', 'interpolate_spherical',
    'manipulate', 'manipulate_all', 'examples', 'describe')
NUM_EXAMPLES = 5


def make_model(name):
  """A small model whose every weight has moved off its initial value."""
  if name == 'real_nvp':
    flow = dinh.randomise(tg.RealNVP(
        SHAPE, scales=1, width=2, residual_blocks=1, seed=0))
    return tg.FlowModel(flow, preprocessing='logit')
  if name == 'nice':
    flow = dinh.randomise(tg.NICE(SIZE, width=8, hidden_layers=1, seed=0))
    return tg.FlowModel(flow, image_shape=SHAPE)
  return test_model.make_model(**{
      'glow': {},
      'glow_lu': {'permutation': 'lu', 'num_bits': 5},
      'glow_classes': {'num_classes': NUM_CLASSES},
      'glow_conditions': {
          'num_classes': NUM_CLASSES, 'feature_map_channels': 1,
          'context_size': 2},
  }[name])


def examples(model):
  """What `export_saved_model` takes as the examples of a model."""
  images = test_model.random_images(NUM_EXAMPLES, seed=6)
  conditions = test_model.conditions(model, NUM_EXAMPLES)
  if not conditions:
    return images
  return images, (
      conditions['label'] if list(conditions) == ['label'] else conditions)


def export(model, folder):
  """Exports with `DIRECTIONS` and examples; returns the path."""
  return tg.export_saved_model(model, folder, DIRECTIONS, examples(model))


def make_requests(model, count=34):
  """Inputs and outputs of each signature.

  Args:
    model: `FlowModel`, exported by `export`.
    count: Python `int`, number of rows.

  Returns:
    requests: `dict` from signatures to pairs of `dict`s of arrays.
  """
  generator = np.random.default_rng(4)
  images = test_model.random_images(count, seed=5)
  others = images[::-1]
  told = test_model.conditions(model, count, seed=7)
  latents = generator.normal(0., .8, [count, SIZE]).astype(np.float32)
  unit = generator.random(count, np.float32)
  seed = generator.integers(-2**31, 2**31, [count, 2], np.int32)
  attribute = generator.integers(0, 2, count, dtype=np.int32)

  noise = tf.stack([
      tf.random.stateless_normal([SIZE], s, alg='philox') for s in seed])
  a, b = (model.encode(x, **told).numpy() for x in (images, others))
  directions = np.stack(list(DIRECTIONS.values()))
  moved = a + unit[:, None] * directions[attribute]
  strengths = np.stack([unit, -2. * unit], axis=1)
  moved_by_all = a + strengths[:, :1] * directions[0] + (
      strengths[:, 1:] * directions[1])

  sizes = [math.prod(shape) for shape in model.flow.latent_shapes]
  temperatures = generator.random([count, len(sizes)], np.float32)
  levels = generator.random([count, len(sizes)]) < .5
  resampled = np.where(
      np.repeat(levels, sizes, axis=1), noise * unit[:, None], a)

  # The formula, in float64, row by row.
  arcs = []
  for start, end, weight in zip(*np.float64([a, b]), np.float64(unit)):
    if (start == end).all():  # The middle of an odd number.
      arcs.append(start)
      continue
    angle = np.arccos(start @ end / np.sqrt((start @ start) * (end @ end)))
    arcs.append((np.sin((1. - weight) * angle) * start +
                 np.sin(weight * angle) * end) / np.sin(angle))

  def decoded(latents):
    return {'images': model.decode(latents, **told).numpy(),
            'finite': np.ones([count], bool)}

  log_prob = {'log_prob': model.log_prob(images, **told).numpy(),
              'bits_per_dim': model.bits_per_dim(images, **told).numpy()}
  described = {
      'attributes': [n.encode() for n in DIRECTIONS],
      'image_shape': SHAPE,
      'num_bits': model.num_bits,
      'latent_shapes': model.flow.latent_shapes,
      'num_classes': NUM_CLASSES if told else 0,
      'num_examples': NUM_EXAMPLES,
      'tfp_glow_version': tg.__version__.encode(),
      'tensorflow_version': tf.__version__.encode(),
  }
  described = {k: np.stack([np.array(v, object if isinstance(v, bytes) else
                                     None)] * count)
               for k, v in described.items()}
  index = generator.integers(0, NUM_EXAMPLES, count, np.int32)
  of_index = {name: value.numpy() for name, value in model.checked(
      examples(model)).items()}
  return {
      'serving_default': ({'images': images, **told}, log_prob),
      'log_prob': ({'images': images, **told}, log_prob),
      'encode': ({'images': images, **told}, {'latents': a}),
      'decode': ({'latents': latents, **told}, decoded(latents)),
      'sample': ({'seed': seed, 'temperature': unit, **told},
                 decoded(noise * unit[:, None])),
      'sample_levels': ({'seed': seed, 'temperatures': temperatures, **told},
                        decoded(noise * np.repeat(temperatures, sizes, 1))),
      'resample_levels': (
          {'images': images, 'levels': levels, 'seed': seed,
           'temperature': unit, **told}, decoded(resampled)),
      'interpolate': (
          {'images_a': images, 'images_b': others, 'weight': unit, **told},
          decoded(a + unit[:, None] * (b - a))),
      'interpolate_spherical': (
          {'images_a': images, 'images_b': others, 'weight': unit, **told},
          decoded(np.float32(arcs))),
      'manipulate': (
          {'images': images, 'attribute': attribute, 'strength': unit, **told},
          decoded(moved)),
      'manipulate_all': (
          {'images': images, 'strengths': strengths, **told},
          decoded(moved_by_all)),
      'examples': ({'index': index},
                   {k: v[index] for k, v in of_index.items()}),
      'describe': ({'row': np.arange(count, dtype=np.int32)}, described),
  }


def assert_agree(got, want, num_bits=8):
  """Images may differ by a level in few pixels, at the edges of rounding."""
  assert set(got) == set(want)
  for name, value in want.items():
    assert got[name].shape == value.shape, name
    if name == 'images':
      assert got[name].dtype == np.uint8
      difference = np.abs(got[name].astype(int) - value)
      assert np.mean(difference != 0) < 1. / 500.
      # What is beyond the last level is 255.
      assert difference.max() <= 2**(8 - num_bits)
    elif name in ('log_prob', 'bits_per_dim'):
      np.testing.assert_allclose(got[name], value, rtol=1e-5)
    elif name == 'latents':
      np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)
    else:
      np.testing.assert_array_equal(got[name], value)
