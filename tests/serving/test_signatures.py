"""Whoever loads a SavedModel gets what the model gives, row by row."""

import json
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from tests import served
import tfp_glow as tg

SIGNATURES = served.SIGNATURES
# Every model, and every signature; the other pairs are slow.
QUICK = {name: ('log_prob', 'decode') for name in ('glow', 'real_nvp', 'nice')}
QUICK['glow_conditions'] = SIGNATURES
PAIRS = [
    pytest.param(name, signature, marks=(
        [] if signature in QUICK.get(name, ()) else [pytest.mark.slow]))
    for name in served.NAMES for signature in SIGNATURES]
SUITES = [*QUICK.items(), *(
    pytest.param(name, SIGNATURES, marks=pytest.mark.slow)
    for name in served.NAMES)]


class Exported:
  """A model, its SavedModel, and requests with the right answers."""

  def __init__(self, name, folder):
    self.model = served.make_model(name)
    self.path = served.export(self.model, folder / name)
    self.requests = served.make_requests(self.model)
    self.signatures = tf.saved_model.load(self.path).signatures

  def ask(self, signature, inputs):
    """The answer through the loader of TensorFlow 2."""
    inputs = {k: tf.constant(v) for k, v in inputs.items()}
    return {k: v.numpy() for k, v in
            self.signatures[signature](**inputs).items()}


class Exports(dict):
  """Models by name, each exported when first asked for."""

  def __init__(self, folder):
    super().__init__()
    self._folder = folder

  def __missing__(self, name):
    self[name] = Exported(name, self._folder)
    return self[name]


@pytest.fixture(scope='module')
def exports(tmp_path_factory):
  return Exports(tmp_path_factory.mktemp('exports'))


@pytest.mark.parametrize('name,signature', PAIRS)
def test_the_tf2_loader_gives_the_same_numbers(exports, name, signature):
  exported = exports[name]
  inputs, want = exported.requests[signature]
  served.assert_agree(
      exported.ask(signature, inputs), want, exported.model.num_bits)


def test_there_are_no_other_signatures(exports):
  for name in QUICK:
    assert set(exports[name].signatures) == set(SIGNATURES)


@pytest.mark.parametrize('name,names', SUITES)
def test_the_session_loader_gives_the_same_numbers(exports, name, names):
  """It is the loader that TensorFlow Serving uses."""
  exported = exports[name]
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta_graph = tf.compat.v1.saved_model.load(
        session, ['serve'], exported.path)
    for name in names:
      inputs, want = exported.requests[name]
      signature = meta_graph.signature_def[name]
      got = session.run(
          {k: v.name for k, v in signature.outputs.items()},
          {signature.inputs[k].name: v for k, v in inputs.items()})
      served.assert_agree(got, want, exported.model.num_bits)


@pytest.mark.parametrize('suite', [
    pytest.param(QUICK, id='quick', marks=pytest.mark.slow),
    pytest.param({name: SIGNATURES for name in served.NAMES}, id='all',
                 marks=pytest.mark.slow)])
def test_a_process_with_tensorflow_alone_gives_the_same_numbers(
    exports, suite, tmp_path):
  code = textwrap.dedent("""
      import importlib.machinery
      import json
      import sys
      REFUSED = ('tfp_glow', 'tensorflow_probability', 'keras', 'tf_keras')
      class Refuse:
        def find_spec(self, name, path=None, target=None):
          # TensorFlow looks whether there is a keras, and imports it later.
          if name.split('.')[0] in REFUSED:
            return importlib.machinery.ModuleSpec(name, self)
        def create_module(self, spec):
          raise ImportError(spec.name)
      sys.meta_path.insert(0, Refuse())
      import numpy as np
      import tensorflow as tf
      for path, prefix, names in json.loads(sys.argv[1]):
        signatures = tf.saved_model.load(path).signatures
        for name in names:
          inputs = dict(np.load(f'{prefix}-{name}.npz'))
          outputs = signatures[name](
              **{k: tf.constant(v) for k, v in inputs.items()})
          np.savez(f'{prefix}-{name}-answer.npz',
                   **{k: v.numpy() for k, v in outputs.items()})
      assert not set(REFUSED) & {name.split('.')[0] for name in sys.modules}
  """)
  jobs = []
  for name in suite:
    exported = exports[name]
    prefix = str(tmp_path / name)
    jobs.append((exported.path, prefix, suite[name]))
    for signature in suite[name]:
      np.savez(f'{prefix}-{signature}.npz', **exported.requests[signature][0])
  subprocess.run([sys.executable, '-c', code, json.dumps(jobs)], check=True,
                 cwd=tmp_path)
  for name, (_, prefix, signatures) in zip(suite, jobs):
    exported = exports[name]
    for signature in signatures:
      got = dict(np.load(f'{prefix}-{signature}-answer.npz',
                         allow_pickle=True))
      served.assert_agree(
          got, exported.requests[signature][1], exported.model.num_bits)


@pytest.mark.parametrize('name,signature', PAIRS)
def test_a_row_does_not_depend_on_its_batch(exports, name, signature):
  exported = exports[name]
  inputs, want = exported.requests[signature]
  rows = len(next(iter(inputs.values())))
  for row in (0, 17, rows - 1):
    one = slice(row, row + 1)
    alone = exported.ask(signature, {k: v[one] for k, v in inputs.items()})
    served.assert_agree(alone, {k: v[one] for k, v in want.items()},
                        exported.model.num_bits)
  # All as one batch in another order.
  shuffled = np.random.default_rng(0).permutation(rows)
  got = exported.ask(signature, {k: v[shuffled] for k, v in inputs.items()})
  served.assert_agree(got, {k: v[shuffled] for k, v in want.items()},
                      exported.model.num_bits)


@pytest.mark.slow
@pytest.mark.parametrize('signature', SIGNATURES)
def test_a_row_does_not_depend_on_its_batch_where_images_are_large(
    large, signature):
  """Convolutions choose among algorithms by the size of their inputs."""
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, [34, 32, 32, 3], np.uint8)
  inputs = {
      'images': images,
      'images_a': images,
      'images_b': images[::-1],
      'latents': generator.normal(size=[34, 3072]).astype(np.float32),
      'seed': generator.integers(0, 99, [34, 2], np.int32),
      'temperature': generator.random(34, np.float32),
      'temperatures': generator.random([34, 3], np.float32),
      'levels': generator.random([34, 3]) < .5,
      'weight': generator.random(34, np.float32),
      'strength': generator.random(34, np.float32),
      'strengths': generator.random([34, 1], np.float32),
      'index': np.zeros([34], np.int32),
      'attribute': np.zeros([34], np.int32),
      'row': np.zeros([34], np.int32),
  }
  function = large[signature]
  inputs = {k: tf.constant(inputs[k])
            for k in function.structured_input_signature[1]}
  together = function(**inputs)
  for row in (0, 13, 33):
    one = slice(row, row + 1)
    alone = function(**{k: v[one] for k, v in inputs.items()})
    served.assert_agree({k: v.numpy() for k, v in alone.items()},
                        {k: v.numpy()[one] for k, v in together.items()})


@pytest.fixture(scope='module')
def large(tmp_path_factory):
  flow = tg.Glow((32, 32, 3), levels=3, steps=2, width=64, seed=0)
  model = tg.FlowModel(flow)
  model.adapt(np.random.default_rng(0).integers(
      0, 256, [32, 32, 32, 3], np.uint8))
  path = tg.export_saved_model(
      model, tmp_path_factory.mktemp('large'),
      {'a': np.full(3072, .1, np.float32)}, np.zeros([1, 32, 32, 3], np.uint8))
  return tf.saved_model.load(path).signatures


def changed(inputs, **values):
  """`inputs`, the last row of some of them changed."""
  inputs = {k: v.copy() for k, v in inputs.items()}
  for name, value in values.items():
    inputs[name][-1] = value
  return inputs


@pytest.mark.parametrize('signature,values,message', [
    ('decode', {'latents': np.nan}, '`latents` must be finite'),
    ('decode', {'latents': -np.inf}, '`latents` must be finite'),
    ('sample', {'temperature': -.5}, '`temperature` must be finite and not'),
    ('sample', {'temperature': np.nan}, '`temperature` must be finite'),
    ('sample_levels', {'temperatures': [1., -.5]},
     '`temperatures` must be finite and not'),
    ('interpolate', {'weight': np.inf}, '`weight` must be finite'),
    ('manipulate', {'attribute': 2}, r'`attribute` must be in 0 \.\. 1'),
    ('manipulate', {'attribute': -1}, r'`attribute` must be in 0 \.\. 1'),
    ('manipulate', {'strength': np.nan}, '`strength` must be finite'),
    ('manipulate_all', {'strengths': [0., np.inf]},
     '`strengths` must be finite'),
    ('examples', {'index': 5}, r'`index` must be in 0 \.\. 4'),
    ('log_prob', {'label': 3}, r'`label` must be in 0 \.\. 2'),
    ('encode', {'label': -1}, r'`label` must be in 0 \.\. 2'),
    ('sample', {'label': 3}, r'`label` must be in 0 \.\. 2'),
    # Finite, but not so in the latents that they lead to.
    ('manipulate', {'strength': 3e38, 'attribute': 1},
     'the latents must be finite'),
])
def test_bad_values_are_refused_with_a_message(
    exports, signature, values, message):
  exported = exports['glow_conditions']
  inputs, want = exported.requests[signature]
  strong = {'größer': served.DIRECTIONS['größer'] * 100.}
  if values.get('strength') == 3e38:
    signatures = tf.saved_model.load(tg.export_saved_model(
        exported.model, pathlib.Path(exported.path).parent / 'strong',
        {'smiling': served.DIRECTIONS['smiling'], **strong})).signatures
  else:
    signatures = exported.signatures
  bad = {k: tf.constant(v) for k, v in changed(inputs, **values).items()}
  with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
    signatures[signature](**bad)
  assert '[33]' in str(caught.value)  # the row that is bad
  # Without it the others are answered.
  got = signatures[signature](**{k: v[:-1] for k, v in bad.items()})
  if signatures is exported.signatures:
    served.assert_agree({k: v.numpy() for k, v in got.items()},
                        {k: v[:-1] for k, v in want.items()})


@pytest.mark.parametrize('name', ['glow', 'real_nvp', 'nice'])
def test_rows_that_break_down_are_told(exports, name):
  exported = exports[name]
  latents = exported.requests['decode'][0]['latents'].copy()
  latents[[3, 33]] = np.float32(3e38) * np.sign(latents[[3, 33]])
  got = exported.ask('decode', {'latents': latents})
  good = got['finite']
  assert np.flatnonzero(~good).tolist() == [3, 33]
  want = exported.requests['decode'][1]['images']
  served.assert_agree({'images': got['images'][good]}, {'images': want[good]})


def test_every_signature_tells_of_rows_that_break_down(exports):
  exported = exports['glow_conditions']
  for signature, values in {
      'sample_levels': {'temperatures': [1e38, 0.]},
      'resample_levels': {'temperature': 1e38, 'levels': [True, True]},
      'interpolate': {'weight': 1e37},
      'manipulate_all': {'strengths': [1e38, 0.]},
  }.items():
    inputs = changed(exported.requests[signature][0], **values)
    finite = exported.ask(signature, inputs)['finite']
    assert finite[:-1].all() and not finite[-1], signature


@pytest.mark.parametrize('signature,name,value,message', [
    ('log_prob', 'images', np.zeros([2, 8, 8, 2], np.uint8),
     r'images \[2,8,8,2\] is not compatible with expected shape \[\?,4,4,2\]'),
    ('encode', 'images', np.zeros([2, 4, 4, 2], np.float32),
     'expected to be a uint8 tensor but is a float'),
    ('decode', 'latents', np.zeros([2, 31], np.float32),
     r'latents \[2,31\] is not compatible with expected shape \[\?,32\]'),
    ('decode', 'latents', np.zeros([2, 32], np.int32),
     'expected to be a float tensor but is a int32'),
    ('sample', 'seed', np.zeros([2, 3], np.int32),
     r'seed \[2,3\] is not compatible with expected shape \[\?,2\]'),
    ('sample_levels', 'temperatures', np.zeros([2, 3], np.float32),
     r'temperatures \[2,3\] is not compatible with expected shape \[\?,2\]'),
    ('interpolate', 'images_b', np.zeros([2, 4, 4, 1], np.uint8),
     r'images_b \[2,4,4,1\] is not compatible'),
    ('manipulate_all', 'strengths', np.zeros([2, 1], np.float32),
     r'strengths \[2,1\] is not compatible with expected shape \[\?,2\]'),
    ('manipulate', 'attribute', np.zeros([2], np.float32),
     'expected to be a int32 tensor but is a float'),
])
def test_other_shapes_and_types_are_refused(
    exports, signature, name, value, message):
  exported = exports['glow']
  inputs = {k: v[:2] for k, v in exported.requests[signature][0].items()}
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    exported.ask(signature, {**inputs, name: value})


@pytest.mark.parametrize('name,kept', [
    ('temperature', 1), ('seed', 3), ('temperature', 0)])
def test_rows_that_are_missing_are_refused(exports, name, kept):
  exported = exports['glow']
  inputs = {k: v[:4] for k, v in exported.requests['sample'][0].items()}
  inputs[name] = inputs[name][:kept]
  with pytest.raises(tf.errors.InvalidArgumentError,
                     match='`seed`, `temperature` must have as many rows'):
    exported.ask('sample', inputs)
  with pytest.raises(tf.errors.InvalidArgumentError, match='at least one'):
    exported.ask('sample', {k: v[:0] for k, v in inputs.items()})


@pytest.fixture(scope='module')
def c_program(tmp_path_factory):
  """`request.c`, compiled against what TensorFlow's wheel has."""
  include = tf.sysconfig.get_include()
  library = tf.sysconfig.get_lib()
  path = tmp_path_factory.mktemp('c') / 'request'
  source = pathlib.Path(__file__).with_name('request.c')
  subprocess.run(
      ['gcc', '-std=c11', '-Wall', '-Wextra', '-Werror', source, '-I', include,
       '-L', library, '-l:libtensorflow_cc.so.2',
       '-l:libtensorflow_framework.so.2', f'-Wl,-rpath,{library}', '-o', path],
      check=True)
  return path


def ask_in_c(program, exported, signature, inputs, outputs, shapes=()):
  """Runs the program.

  Args:
    program: Path of the compiled `request.c`.
    exported: `Exported`.
    signature: Python `str`.
    inputs: `dict` of arrays.
    outputs: `dict` from names to dtypes and shapes.
    shapes: Names of inputs whose shape is told, instead of the signature's.

  Returns:
    result: The finished process.
    got: `dict` of arrays, as far as there are any.
  """
  folder = program.parent
  rows = len(next(iter(inputs.values())))
  arguments = []
  for name, value in inputs.items():
    value.tofile(folder / f'{name}.raw')
    shape = ':' + 'x'.join(map(str, value.shape)) if name in shapes else ''
    arguments.append(f'{name}{shape}={folder / name}.raw')
  arguments += ['to', *(f'{name}={folder / name}.out' for name in outputs)]
  result = subprocess.run(
      [program, exported.path, signature, str(rows), *arguments],
      capture_output=True, text=True)
  got = {}
  for name, (dtype, shape) in outputs.items():
    path = folder / f'{name}.out'
    if path.exists():
      got[name] = np.fromfile(path, dtype).reshape(shape)
      path.unlink()
  return result, got


@pytest.mark.parametrize('name', [
    'glow_conditions', pytest.param('glow', marks=pytest.mark.slow)])
@pytest.mark.parametrize('signature', [
    'log_prob', 'resample_levels', 'manipulate_all', *(
        pytest.param(signature, marks=pytest.mark.slow) for signature in (
            'decode', 'sample_levels', 'interpolate_spherical', 'examples'))])
def test_a_c_program_gets_the_same_numbers(exports, c_program, name, signature):
  inputs, want = exports[name].requests[signature]
  result, got = ask_in_c(c_program, exports[name], signature, inputs, {
      k: (v.dtype, v.shape) for k, v in want.items()})
  assert result.returncode == 0, result.stderr
  served.assert_agree(got, want)


@pytest.mark.parametrize('signature,name,value,message', [
    ('log_prob', 'images', np.zeros([2, 8, 8, 2], np.uint8), 'images'),
    ('decode', 'latents', np.zeros([2, 64], np.float32), 'latents'),
    ('sample', 'temperature', np.float32([1., -1.]),
     '`temperature` must be finite and not negative'),
])
def test_a_c_program_is_refused(
    exports, c_program, signature, name, value, message):
  """C++ checks no shape of what is fed: the SavedModel does."""
  exported = exports['glow']
  inputs, want = exported.requests[signature]
  inputs = {**{k: v[:2] for k, v in inputs.items()}, name: value}
  result, got = ask_in_c(
      c_program, exported, signature, inputs,
      {k: (v.dtype, v.shape) for k, v in want.items()}, shapes=[name])
  assert result.returncode == 1 and not got
  assert message in result.stderr
