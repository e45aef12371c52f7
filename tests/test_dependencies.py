import importlib.metadata
import importlib.util
import pathlib
import re
import subprocess
import sys

from packaging import requirements
import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_FILE = _ROOT / 'tfp_glow' / 'dependencies.py'

# `REFUSED` is either not found, as where it is not installed, or refused.
_HOOK = """
import importlib.util
import sys

class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.partition('.')[0] in REFUSED:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Refuse())
"""

_ABSENT = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = (
    lambda name, *args: None if name in REFUSED else find_spec(name, *args))
"""

_CHECK = f"""
spec = importlib.util.spec_from_file_location('dependencies', {str(_FILE)!r})
dependencies = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dependencies)
try:
  dependencies.check()
except ImportError as error:
  print(error)
heavy = ('tensorflow', 'tensorflow_probability', 'keras', 'tf_keras')
assert not set(heavy) & set(sys.modules), 'check() imported a heavy package'
"""


def _message(refused, block, cwd=None, extra=''):
  script = f'import sys\nREFUSED = {refused!r}\n{block}\n{extra}\n{_CHECK}'
  return _run(script, cwd).stdout.strip()


def _run(script, cwd=None, check=True):
  return subprocess.run([sys.executable, '-c', script], capture_output=True,
                        text=True, check=check, cwd=cwd)


def _installed(package, extras):
  """All that is installed for a package, by name."""
  found, wanted = {}, [(package, frozenset(extras))]
  for name, chosen in wanted:
    distribution = importlib.metadata.distribution(name)
    found[distribution.name.lower()] = distribution
    for text in distribution.requires or ():
      requirement = requirements.Requirement(text)
      needed = requirement.name, frozenset(requirement.extras)
      if needed not in wanted and (requirement.marker is None or any(
          requirement.marker.evaluate({'extra': extra})
          for extra in chosen or [''])):
        wanted.append(needed)
  return found


def test_make_says_how_much_it_installs():
  told = float(re.search(r'about ([\d.]+) GB on the disk',
                         (_ROOT / 'Makefile').read_text())[1])
  size = sum(file.size or 0
             for distribution in _installed(
                 'tfp_glow', ['train', 'test']).values()
             for file in distribution.files)
  assert told == pytest.approx(size / 1e9, abs=.3)


def test_nothing_is_said_where_nothing_is_missing():
  assert _message([], _ABSENT) == ''


@pytest.mark.parametrize('block', [_ABSENT, _HOOK], ids=['absent', 'refused'])
@pytest.mark.parametrize('module, package', [
    ('tensorflow', '"tensorflow>='),
    ('tensorflow_probability', '"tensorflow-probability>='),
    ('keras', '"keras>=3'),
    ('tf_keras', '"tf-keras>='),
    ('distutils', '"setuptools"'),
])
def test_one_sentence_names_the_module_and_the_command(module, package, block):
  message = _message([module], block)
  assert message.count('\n') == 0
  assert f'because {module} ' in message
  assert 'pip install ' + package in message
  assert message.count('"') == 2  # no other package is asked for


def test_all_that_is_missing_is_named_at_once():
  message = _message(['tensorflow', 'tf_keras'], _ABSENT)
  assert 'because tensorflow, tf_keras are missing' in message
  command = message.partition('pip install ')[2]
  assert '"tensorflow>=' in command and '"tf-keras>=' in command


def test_keras_2_is_not_enough():
  pretend = """
import importlib.metadata
version = importlib.metadata.version
importlib.metadata.version = (
    lambda name: '2.15.0' if name == 'keras' else version(name))
"""
  message = _message([], _ABSENT, extra=pretend)
  assert 'keras 2.15.0 is installed' in message
  assert 'pip install "keras>=3' in message


def test_an_empty_folder_does_not_count_as_installed(tmp_path):
  (tmp_path / 'tf_keras').mkdir()
  hide_the_real_one = """
import sys
sys.path = [''] + [p for p in sys.path if 'site-packages' not in p]
"""
  message = _message([], 'import importlib.util', tmp_path, hide_the_real_one)
  assert 'tf_keras' in message


@pytest.mark.parametrize('module', ['tensorflow', 'tf_keras'])
def test_importing_tfp_glow_says_what_is_missing(module):
  script = f'REFUSED = {[module]!r}\n{_HOOK}\nimport tfp_glow'
  result = _run(script, cwd=_ROOT, check=False)
  assert result.returncode == 1
  last_line = result.stderr.strip().splitlines()[-1]
  assert last_line.startswith('ImportError: tfp_glow cannot be imported')
  assert module in last_line and 'pip install' in last_line


def test_an_error_inside_a_package_shows_itself(tmp_path):
  (tmp_path / 'tensorflow.py').write_text('import nothing_of_this_name')
  script = f"""
import sys
sys.path.insert(0, {str(_ROOT)!r})
sys.path.insert(0, {str(tmp_path)!r})
import tfp_glow
"""
  result = _run(script, check=False)
  assert result.returncode == 1
  assert "No module named 'nothing_of_this_name'" in result.stderr


def test_importing_loads_nothing_experimental():
  script = """
import sys
import tfp_glow
name = 'tensorflow_probability.python.experimental'
print([module for module in sys.modules if module.startswith(name)])
"""
  assert _run(script, cwd=_ROOT).stdout.strip() == '[]'


def test_the_commands_install_what_setup_requires():
  spec = importlib.util.spec_from_file_location('dependencies', _FILE)
  dependencies = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(dependencies)
  setup = (_ROOT / 'setup.py').read_text()
  for requirement in dependencies._REQUIREMENTS.values():
    assert f"'{requirement}" in setup


def test_setup_and_the_package_have_one_version():
  text = (_ROOT / 'tfp_glow' / 'version.py').read_text()
  version = re.search(r"^__version__ = '(.*)'$", text, re.MULTILINE)[1]
  assert f"version='{version}'" in (_ROOT / 'setup.py').read_text()
