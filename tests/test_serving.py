"""A SavedModel gives what the model gives, through both loaders."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from tests import test_model
import tfp_glow as tg


def every_request(model, images, labels):
  """Inputs and expected outputs of each signature."""
  conditions = {} if labels is None else {'label': labels}
  latents = model.encode(images, **conditions).numpy()
  weight = np.linspace(0., 1., len(images), dtype=np.float32)
  log_prob = {'log_prob': model.log_prob(images, **conditions),
              'bits_per_dim': model.bits_per_dim(images, **conditions)}
  mixed = (1. - weight[:, None]) * latents + weight[:, None] * latents[::-1]
  other = {k: v[::-1] for k, v in conditions.items()}
  # The two ends must have one label, which `labels` below are made for.
  assert all((other[k] == conditions[k]).all() for k in other)
  return {
      'serving_default': ({'images': images}, log_prob),
      'log_prob': ({'images': images}, log_prob),
      'encode': ({'images': images}, {'latents': latents}),
      'decode': ({'latents': latents}, {'images': images}),
      'interpolate': (
          {'images_a': images, 'images_b': images[::-1], 'weight': weight},
          {'images': model.decode(mixed, **conditions)}),
      'manipulate': (
          {'images': images, 'attribute': np.array([0, 1, 0, 1], np.int32),
           'strength': weight},
          {'images': model.decode(
              latents + weight[:, None] * np.stack(
                  [DIRECTIONS['up'], DIRECTIONS['down']])[[0, 1, 0, 1]],
              **conditions)}),
  }


DIRECTIONS = {'up': np.full(32, .1, np.float32),
              'down': np.full(32, -.2, np.float32)}


def agree(got, want):
  assert set(got) == set(want)
  for name, value in want.items():
    if name == 'images':
      assert np.mean(got[name] != value) < 1. / 500.
      assert np.abs(got[name].astype(int) - value).max() <= 1
    else:
      np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope='module', params=['plain', 'classes_lu'])
def exported(request, tmp_path_factory):
  kwargs = {} if request.param == 'plain' else {
      'num_classes': 3, 'permutation': 'lu'}
  model = test_model.make_model(**kwargs)
  directory = tmp_path_factory.mktemp(request.param)
  path = tg.export_saved_model(model, str(directory), directions=DIRECTIONS)
  labels = np.array([1, 2, 2, 1], np.int32) if kwargs else None
  return model, path, labels


def test_the_tf2_loader_gives_the_same_numbers(exported):
  model, path, labels = exported
  images = test_model.random_images(4)
  signatures = tf.saved_model.load(path).signatures
  extra = {} if labels is None else {'label': tf.constant(labels)}
  for name, (inputs, want) in every_request(model, images, labels).items():
    inputs = {k: tf.constant(v) for k, v in inputs.items()}
    got = signatures[name](**inputs, **extra)
    agree({k: v.numpy() for k, v in got.items()},
          {k: np.asarray(v) for k, v in want.items()})


def test_the_session_loader_gives_the_same_numbers(exported):
  model, path, labels = exported
  images = test_model.random_images(4)
  extra = {} if labels is None else {'label': labels}
  requests = every_request(model, images, labels)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta_graph = tf.compat.v1.saved_model.load(session, ['serve'], path)
    for name, (inputs, want) in requests.items():
      signature = meta_graph.signature_def[name]
      got = session.run(
          {k: v.name for k, v in signature.outputs.items()},
          {signature.inputs[k].name: v for k, v in (inputs | extra).items()})
      agree(got, {k: np.asarray(v) for k, v in want.items()})


def test_a_row_does_not_depend_on_its_batch(exported):
  _, path, labels = exported
  sample = tf.saved_model.load(path).signatures['sample']
  seed = tf.constant(np.arange(12).reshape(6, 2), tf.int32)
  temperature = tf.constant([1., .5, .7, 1., 0., 1.])
  extra = {} if labels is None else {'label': tf.constant([0, 1, 2, 0, 1, 2])}
  together = sample(seed=seed, temperature=temperature, **extra)['images']
  assert len(np.unique(np.reshape(together, [6, -1]), axis=0)) == 6
  for row in range(6):
    one = slice(row, row + 1)
    alone = sample(seed=seed[one], temperature=temperature[one],
                   **{k: v[one] for k, v in extra.items()})['images']
    np.testing.assert_array_equal(alone[0], together[row])


def test_a_process_without_this_library_gives_the_same_numbers(exported):
  model, path, labels = exported
  images = test_model.random_images(4)
  code = textwrap.dedent("""
      import sys
      class Blocked:
        def find_spec(self, name, path=None, target=None):
          if name.split('.')[0] in ('tfp_glow', 'tensorflow_probability'):
            raise ImportError(name)
      sys.meta_path.insert(0, Blocked())
      import numpy as np
      import tensorflow as tf
      request = dict(np.load(sys.argv[2]))
      model = tf.saved_model.load(sys.argv[1]).signatures['log_prob']
      outputs = model(**{k: tf.constant(v) for k, v in request.items()})
      np.save(sys.argv[3], outputs['log_prob'])
  """)
  request = {'images': images} | ({} if labels is None else {'label': labels})
  folder = os.path.dirname(path)
  inputs, outputs = (os.path.join(folder, f'.{n}') for n in ('in.npz', 'o.npy'))
  np.savez(inputs, **request)
  subprocess.run([sys.executable, '-c', code, path, inputs, outputs],
                 check=True, cwd=folder)
  conditions = {} if labels is None else {'label': labels}
  np.testing.assert_allclose(
      np.load(outputs), model.log_prob(images, **conditions), rtol=1e-5)


def test_versions_count_up_and_nothing_else_is_left(tmp_path):
  model = test_model.make_model()
  directory = os.path.join(tmp_path, 'served')
  assert tg.export_saved_model(model, directory).endswith('/1')
  os.mkdir(os.path.join(directory, '7'))
  assert tg.export_saved_model(model, directory).endswith('/8')
  assert sorted(os.listdir(directory)) == ['1', '7', '8']


def test_a_failed_export_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
  model = test_model.make_model()

  def fail(*args, **kwargs):
    raise OSError('disk full')

  monkeypatch.setattr(tf.saved_model, 'save', fail)
  with pytest.raises(OSError, match='disk full'):
    tg.export_saved_model(model, str(tmp_path))
  assert not os.listdir(tmp_path)


def test_bad_requests_are_refused_with_a_message(exported):
  _, path, labels = exported
  signatures = tf.saved_model.load(path).signatures
  ok = {} if labels is None else {'label': tf.constant([0, 1])}
  seed = tf.zeros([2, 2], tf.int32)
  images = tf.zeros([2, *test_model.SHAPE], tf.uint8)
  requests = [
      ('sample', {'seed': seed, 'temperature': tf.constant([1., -1.])} | ok,
       'temperature'),
      ('decode', {'latents': tf.fill([2, 32], np.nan)} | ok, 'latents'),
      ('manipulate', {'images': images, 'attribute': tf.constant([0, 2]),
                      'strength': tf.zeros([2])} | ok, 'attribute'),
  ]
  if labels is not None:
    requests.append(('log_prob', {
        'images': images, 'label': tf.constant([0, 3])}, r'0 \.\. 2'))
  for name, inputs, message in requests:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
      signatures[name](**inputs)


def test_what_cannot_be_served_is_refused():
  flow = tg.Glow(test_model.SHAPE, levels=1, steps=1, width=3, context_size=2)
  with pytest.raises(ValueError, match='context'):
    tg.export_saved_model(tg.FlowModel(flow), 'unused')
  with pytest.raises(ValueError, match='up'):
    tg.export_saved_model(
        test_model.make_model(), 'unused', {'up': np.zeros(3)})
