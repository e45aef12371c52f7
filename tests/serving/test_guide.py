"""What `docs/serving.md` says works, when it is pasted."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys

from google.protobuf import text_format
import numpy as np
import pytest
from tensorflow_serving.config import model_server_config_pb2

from tests import documentation
from tests import served
from tests.serving import test_server

ROOT = documentation.ROOT
PAGE = ROOT / 'docs' / 'serving.md'
BLOCKS = [(block.kind, block.code) for block in documentation.blocks(PAGE)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder as the guide has it: the repository, with models in it."""
  folder = tmp_path_factory.mktemp('guide')
  (folder / 'tests').symlink_to(ROOT / 'tests')
  served.export(served.make_model('glow'), folder / 'models' / 'faces')
  return folder


@pytest.fixture(scope='module')
def client(folder):
  client = test_server.start(folder / 'models' / 'faces')
  yield client
  client.close()


def for_client(code, client):
  for port, actual in ((8500, client.grpc_port), (8501, client.rest_port)):
    code = code.replace(f'localhost:{port}', f'localhost:{actual}')
  return code


def shell(code, folder):
  path = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])
  return subprocess.run(
      ['bash', '-euc', code], cwd=folder, check=True, text=True,
      stdout=subprocess.PIPE, env={**os.environ, 'PATH': path}).stdout


def test_python_blocks_run_one_after_the_other(folder, client):
  names, output = {}, io.StringIO()
  with contextlib.chdir(folder), contextlib.redirect_stdout(output):
    documentation.run(PAGE, names, lambda code: for_client(code, client))
  guide = PAGE.read_text()
  asked = set(re.findall(r"ask\('(\w+)'", guide))
  assert asked == set(re.findall(r"ask_rest\('(\w+)'", guide)) == (
      set(served.SIGNATURES) - {'serving_default'})
  assert 'smiling' in output.getvalue()
  assert 'StatusCode.INVALID_ARGUMENT' in output.getvalue()
  assert '`temperature` must be finite and not negative' in output.getvalue()
  assert np.shape(names['moved']['images']) == (2, *served.SHAPE)
  names['channel'].close()


def test_serving_client(client, tmp_path):
  picture = tmp_path / 'samples.png'
  bits = documentation.module(
      ROOT / 'examples' / 'serving_client.py').main([
          f'--address=localhost:{client.grpc_port}', f'--output={picture}'])
  assert np.isfinite(bits).all() and bits.shape == (8,)
  assert picture.exists()


@pytest.mark.skipif(not shutil.which('curl'), reason='curl is not installed')
def test_what_is_asked_with_curl_is_answered(folder, client):
  answers = [json.loads(shell(for_client(code, client), folder))
             for language, code in BLOCKS
             if language == 'sh' and code.startswith('curl')]
  status, described, samples = answers
  assert status['model_version_status'][0]['version'] == '1'
  assert described['predictions'][0]['attributes'] == list(served.DIRECTIONS)
  model = served.make_model('glow')
  for seed, sample in zip((1, 2), samples['predictions']):
    want = model.sample(1, .7, seed=seed)[0]
    assert sample['finite'] is True
    served.assert_agree({'images': np.array([sample['images']], np.uint8)},
                        {'images': want.numpy()[None]})


@pytest.mark.slow
def test_the_c_program_is_compiled_and_asked_as_it_says(folder):
  for language, code in BLOCKS:
    if language == 'sh' and ('gcc' in code or './request' in code):
      shell(code, folder)
  images = np.fromfile(folder / 'images', np.uint8).reshape(2, *served.SHAPE)
  model = served.make_model('glow')
  for seed, temperature, image in zip((1, 2), (.7, 1.), images):
    want = model.sample(1, temperature, seed=seed).numpy()
    served.assert_agree({'images': image[None]}, {'images': want})


def test_the_configuration_is_of_tensorflow_servings_form(folder):
  code, = (code for _, code in BLOCKS if 'models.config <<' in code)
  shell(code, folder)
  config = text_format.Parse(
      (folder / 'models' / 'models.config').read_text(),
      model_server_config_pb2.ModelServerConfig())
  model, = config.model_config_list.config
  assert model.name == 'faces' and model.base_path == '/models/faces'
  assert list(model.model_version_policy.specific.versions) == [1]
