"""Glow against the paper's own program, and its checkpoints."""

import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import parity
from tests import numpy_glow
import tfp_glow
from tfp_glow import checkpoints
from tfp_glow.flows import glow

FIXTURES = ['glow_conv1x1', 'glow_lu_classes', 'glow_shuffle_5bit']
SHAPE = (8, 4, 2)
ARGUMENTS = {
    'conv1x1': {},
    'lu': {'permutation': 'lu'},
    'shuffle': {'permutation': 'shuffle'},
    'reverse': {'permutation': 'reverse'},
    'additive': {'coupling': 'additive'},
    'fixed_top': {'learn_top': False},
    'classes': {'num_classes': 3},
    'classifier': {'num_classes': 3, 'classifier': True, 'learn_top': False},
}


def references():
  """The reference files, skipped where they are not there."""
  names = ['glow_additive_5bit', 'glow_affine', 'glow_affine_lu',
           'glow_class_conditional', 'glow_reverse_permutation']
  paths = [numpy_glow.REFERENCE / f'{name}.npz' for name in names]
  return [pytest.param(path, id=path.stem, marks=pytest.mark.skipif(
      not path.exists(), reason=f'$TFP_GLOW_REFERENCE has no {path.name}'))
          for path in paths]


def moved(flow, seed=0):
  """Moves every weight off its initial value, so that none hides an error."""
  rng = np.random.default_rng(seed)
  for variable in flow.trainable_variables:
    variable.assign_add(.05 * rng.standard_normal(variable.shape))
  return flow


def make(kind, **kwargs):
  kwargs = {'levels': 2, 'steps': 2, 'width': 4, 'seed': 0,
            **ARGUMENTS[kind], **kwargs}
  return moved(tfp_glow.Glow(SHAPE, **kwargs))


def weights_of(flow):
  return {name: variable.numpy() for name, variable in
          checkpoints.openai_glow_variables(flow).items()}


def assert_same(flow, other):
  """Both have the same settings and the very same weights."""
  arguments = {k: v for k, v in flow.get_config().items() if k != 'seed'}
  assert arguments == {
      k: v for k, v in other.get_config().items() if k != 'seed'}
  weights, others = weights_of(flow), weights_of(other)
  assert weights.keys() == others.keys()
  for name, value in weights.items():
    np.testing.assert_array_equal(value, others[name], err_msg=name)


def write_checkpoint(path, arrays):
  """A checkpoint written by TF1's own Saver from a graph of its variables."""
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variables = [tf.compat.v1.get_variable(n, initializer=np.asarray(a))
                 for n, a in arrays.items()]
    saver = tf.compat.v1.train.Saver(variables)
    session.run(tf.compat.v1.global_variables_initializer())
    return saver.save(session, str(path), write_meta_graph=False)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('path', references())
def test_every_array_of_the_program(path, dtype):
  rows = parity.compare_file(path, dtype)
  assert [str(row) for row in rows if not row.passed] == []
  with np.load(path) as stored:
    outputs = {'bits_per_dim', 'top_latent', 'decode_float', 'decode_image',
               *(n for n in stored.files if n.startswith(
                   ('eps_', 'after_init/', 'logits')))}
  assert {row.array for row in rows} == outputs


@pytest.mark.parametrize('name', FIXTURES)
def test_every_array_of_the_fixtures(name):
  path = numpy_glow.FIXTURES / f'{name}.npz'
  rows = parity.compare_file(path, 'float32')
  assert [str(row) for row in rows if not row.passed] == []
  rows = parity.compare_file(path, 'float64')
  assert [str(row) for row in rows if row.absolute > 1e-9] == []
  assert len(rows) >= 24


@pytest.mark.parametrize('path', [
    *references(), *(numpy_glow.FIXTURES / f'{name}.npz' for name in FIXTURES)
], ids=lambda path: path.stem)
def test_the_measure_is_right(path):
  """The program in NumPy gives the stored outputs, too."""
  with np.load(path) as file:
    stored = dict(file)

  def program(prefix):
    return numpy_glow.NumpyGlow(
        {n.removeprefix(prefix): v for n, v in stored.items()
         if n.startswith(prefix)}, json.loads(str(stored['config'])))

  def assert_close(value, name, tolerance=1e-5):
    np.testing.assert_allclose(
        value, stored[name], rtol=0., atol=tolerance, err_msg=name)

  glow = program('weights/')
  images = glow.preprocess(stored['image'], stored['noise'])
  eps, top, log_det = glow.encode(images, stored['label'])
  assert_close(glow.bits_per_dim(eps, log_det), 'bits_per_dim')
  assert_close(top, 'top_latent')
  if 'logits' in stored:
    assert_close(glow.logits(top), 'logits')
  for level, part in enumerate(eps):
    assert_close(part, f'eps_{level}')
  decoded = glow.decode(
      [stored[f'decode_eps_{i}'] for i in range(len(eps))], stored['label'])
  assert_close(decoded, 'decode_float')
  assert_close(glow.postprocess(decoded), 'decode_image', 0.)
  glow = program('before_init/')
  glow.initialise(glow.preprocess(stored['init_image'], stored['init_noise']),
                  stored['init_label'])
  for name in stored:
    if name.startswith('after_init/'):
      assert_close(glow.weights[name.removeprefix('after_init/')], name)


@pytest.mark.parametrize('kind', ARGUMENTS)
def test_the_library_is_the_program_to_rounding(kind):
  flow = make(kind, dtype=tf.float64)
  config = {
      'levels': 2, 'depth': 2, 'n_bits': 8, 'n_y': 3,
      'coupling': flow.get_config()['coupling'],
      'permutation': flow.get_config()['permutation'],
      'learntop': flow.get_config()['learn_top'],
      'ycond': flow.num_classes is not None}
  program = numpy_glow.NumpyGlow(weights_of(flow), config)
  rng = np.random.default_rng(1)
  images, labels = rng.random([5, *SHAPE]) - .5, rng.integers(0, 3, 5)
  conditions = {'label': labels} if config['ycond'] else {}
  z, log_det = flow.inverse_and_log_det(images, **conditions)
  eps, top, expected = program.encode(images, labels)
  for part, other in zip(flow.split_latent(z), eps, strict=True):
    np.testing.assert_allclose(part, other, rtol=0., atol=1e-9)
  np.testing.assert_allclose(log_det, expected, rtol=0., atol=1e-9)
  if flow.classifier is not None:
    np.testing.assert_allclose(
        flow.class_logits(z, labels), program.logits(top), rtol=0., atol=1e-9)
  eps = [rng.standard_normal(e.shape) for e in eps]
  np.testing.assert_allclose(
      flow.forward(flow.join_latent(eps), **conditions),
      program.decode(eps, labels), rtol=0., atol=1e-9)
  flow.initialize(images, **conditions)
  program.initialise(images, labels)
  for name, value in weights_of(flow).items():
    np.testing.assert_allclose(
        value, program.weights[name], rtol=0., atol=1e-9, err_msg=name)


def test_pixels_beyond_white_are_255_as_in_the_program():
  flow = make('fixed_top')
  model = tfp_glow.FlowModel(flow, num_bits=5)
  # White of 5 bits is 31 / 32 - 0.5 and up, and 248.
  images = tf.reshape(tf.constant([31.5, 32.5, -.5, 0.5], tf.float32) / 32.
                      - .5, [4, 1, 1, 1]) * tf.ones([4, *SHAPE])
  decoded = model.decode(flow.inverse(images)).numpy()
  assert [set(image.ravel().tolist()) for image in decoded] == [
      {248}, {255}, {0}, {0}]


@pytest.mark.parametrize('kind', ARGUMENTS)
def test_what_is_saved_is_loaded(kind, tmp_path):
  flow = make(kind)
  path = tfp_glow.save_openai_glow(flow, tmp_path / 'sub' / 'model.ckpt')
  loaded = tfp_glow.load_openai_glow(path, SHAPE)
  assert_same(flow, loaded)
  from_mapping = tfp_glow.load_openai_glow(weights_of(flow), SHAPE)
  assert_same(flow, from_mapping)


@pytest.mark.parametrize('kind', ['lu', 'shuffle', 'classifier'])
def test_a_saver_of_tf1_restores_what_is_saved(kind, tmp_path):
  flow = make(kind)
  path = tfp_glow.save_openai_glow(flow, tmp_path / 'model.ckpt')
  weights = weights_of(flow)
  if kind == 'shuffle':
    # The program has variables for both ways.
    for name in [n for n in weights if n.endswith('/indices')]:
      weights[f'{name}_inverse'] = np.argsort(weights[name]).astype(np.int32)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variables = {n: tf.compat.v1.get_variable(n, w.shape, w.dtype)
                 for n, w in weights.items()}
    tf.compat.v1.train.Saver().restore(session, path)
    restored = session.run(variables)
  for name, value in weights.items():
    np.testing.assert_array_equal(restored[name], value, err_msg=name)


@pytest.mark.parametrize('kind', [
    pytest.param('conv1x1', marks=pytest.mark.slow), 'lu',
    pytest.param('shuffle', marks=pytest.mark.slow),
    pytest.param('classifier', marks=pytest.mark.slow)])
def test_a_checkpoint_of_tf1_is_read_without_what_trained_it(kind, tmp_path):
  flow = make(kind)
  weights = weights_of(flow)
  extra = {'global_step': np.int64(7), 'model/global_step': np.int64(7),
           'beta1_power': np.float32(.9), 'Variable': np.float32(1.)}
  for i, (name, value) in enumerate(weights.items()):
    extra[f'Variable_{i + 1}'] = np.zeros_like(value)
    extra[f'{name}/ExponentialMovingAverage/biased'] = np.zeros_like(value)
    extra[f'{name}/ExponentialMovingAverage/local_step'] = np.float32(3.)
    if name.endswith('shuffle/indices'):
      extra[f'{name}_inverse'] = np.argsort(value).astype(np.int32)
  write_checkpoint(tmp_path / 'model.ckpt-7', {**weights, **extra})
  assert_same(flow, tfp_glow.load_openai_glow(
      tmp_path / 'model.ckpt-7', SHAPE))
  assert_same(flow, tfp_glow.load_openai_glow(tmp_path, SHAPE))


@pytest.mark.parametrize('kind', [
    pytest.param('conv1x1', marks=pytest.mark.slow),
    pytest.param('lu', marks=pytest.mark.slow), 'classifier'])
def test_moving_averages_are_taken_where_asked_for(kind, tmp_path):
  flow, other = make(kind), moved(make(kind), seed=1)
  # What is not trained has no average.
  trained = [n for n in weights_of(flow)
             if not n.endswith(('/P', '/sign_S'))]
  averages = {f'{name}/ExponentialMovingAverage': weights_of(other)[name]
              for name in trained}
  path = write_checkpoint(tmp_path / 'both', {**weights_of(flow), **averages})
  assert_same(flow, tfp_glow.load_openai_glow(path, SHAPE))
  assert_same(other, tfp_glow.load_openai_glow(path, SHAPE, averaged=True))
  fixed = {n: w for n, w in weights_of(flow).items() if n not in trained}
  path = write_checkpoint(tmp_path / 'averages', {**fixed, **averages})
  assert_same(other, tfp_glow.load_openai_glow(path, SHAPE))


def misfits():
  """Weights that do not fit in every way, and what is wrong with them."""
  weights = weights_of(make('classes'))
  missing = ['model/0/1/actnorm_center/b', 'model/pool0/conv/logs',
             'model/prior/y_emb/b']
  for name in missing:
    del weights[name]
  surplus = {'model/0/0/invconv/P': np.eye(8, dtype=np.float32),
             'model/1/1/f1/l_1/b': np.zeros(4, np.float32),
             'decoder/W': np.zeros([2, 2], np.float32)}
  wrong = {'model/1/0/f1/l_2/W': np.zeros([3, 3, 4, 4], np.float32),
           'model/0/0/invconv/W': np.zeros([7, 7], np.float32)}
  return {**weights, **surplus, **wrong}, missing, surplus, wrong


def test_an_error_lists_everything_that_does_not_fit():
  weights, missing, surplus, wrong = misfits()
  with pytest.raises(ValueError) as error:
    tfp_glow.load_openai_glow(weights, SHAPE)
  first, *lines = str(error.value).split('\n')
  assert 'in 8 variables' in first
  assert len(lines) == 8
  for kind, names in (
      ('missing', missing), ('surplus', surplus), ('wrong shape', wrong)):
    for name in names:
      assert any(line.strip().startswith(f'{kind}: {name} ')
                 for line in lines), name
  assert 'model/1/0/f1/l_2/W is (3, 3, 4, 4), (1, 1, 4, 4) is needed' in (
      str(error.value))


def test_nothing_is_half_loaded(monkeypatch):
  built = []

  class Recorded(tfp_glow.Glow):

    def __init__(self, *args, **kwargs):
      super().__init__(*args, **kwargs)
      built.append((self, [v.numpy() for v in self.variables]))

  weights = misfits()[0]
  monkeypatch.setattr(checkpoints.glow.glow_lib, 'Glow', Recorded)
  with pytest.raises(ValueError):
    tfp_glow.load_openai_glow(weights, SHAPE)
  (flow, before), = built
  for variable, value in zip(flow.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


def test_images_of_other_channels_are_refused():
  with pytest.raises(ValueError, match='wrong shape: .*/invconv/W'):
    tfp_glow.load_openai_glow(weights_of(make('conv1x1')), (4, 4, 3))


def test_what_is_no_glow_is_refused(tmp_path):
  with pytest.raises(ValueError, match='not those of a Glow'):
    tfp_glow.load_openai_glow({'model/h/weights': np.zeros([2])}, SHAPE)
  with pytest.raises(FileNotFoundError, match='`weights`'):
    tfp_glow.load_openai_glow(tmp_path / 'model.ckpt', SHAPE)
  with pytest.raises(TypeError, match='must be a Glow'):
    tfp_glow.save_openai_glow(tfp_glow.NICE(2, width=1), tmp_path / 'nice')


def test_a_condition_that_the_program_lacks_is_not_saved(tmp_path):
  flow = make('conv1x1', context_size=3)
  with pytest.raises(ValueError, match='context_size=3'):
    tfp_glow.save_openai_glow(flow, tmp_path / 'model.ckpt')
  flow = make('conv1x1', scale='bounded')
  with pytest.raises(ValueError, match="scale='bounded'"):
    tfp_glow.save_openai_glow(flow, tmp_path / 'model.ckpt')
  assert list(tmp_path.iterdir()) == []


def test_a_layer_that_the_program_lacks_is_not_saved(tmp_path, monkeypatch):
  class Turn(tfp_glow.FlowBijector):
    """A layer of one's own, with a variable."""

    def __init__(self):
      super().__init__()
      self.angle = tf.Variable(.1)

    def _inverse_and_log_det(self, y):
      return y + self.angle, tf.zeros([])

    def _forward_and_log_det(self, x):
      return x - self.angle, tf.zeros([])

  monkeypatch.setitem(
      glow.PERMUTATIONS, 'mine', lambda *args, **kwargs: Turn())
  flow = tfp_glow.Glow((4, 4, 1), levels=1, steps=1, width=2,
                       permutation='mine')
  with pytest.raises(ValueError, match='Turn, which the paper'):
    tfp_glow.save_openai_glow(flow, tmp_path / 'model.ckpt')
  assert list(tmp_path.iterdir()) == []
