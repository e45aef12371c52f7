"""Says plainly which of the packages that tfp_glow needs is missing."""

import importlib.metadata
import importlib.util

# What pip installs (as in setup.py) for each module that is imported.
_REQUIREMENTS = {
    'tensorflow': 'tensorflow>=2.21,<2.22',
    'tensorflow_probability': 'tensorflow-probability>=0.25,<0.26',
    'keras': 'keras>=3.15,<4',
    'tf_keras': 'tf-keras>=2.21,<2.22',
    'distutils': 'setuptools',
}


def check():
  """Raises an `ImportError` that names what is missing and how to install it.

  Nothing is imported, so that this is quick, and an error inside an installed
  package is left to show itself when that package is imported.
  """
  missing = {module: module for module in _REQUIREMENTS
             if not _is_installed(module)}
  if 'distutils' in missing:
    missing['distutils'] += ' (not part of Python since 3.12)'
  if 'keras' not in missing and (old := _keras_before_3()):
    missing['keras'] = f'Keras 3 (keras {old} is installed)'
  if missing:
    names = ', '.join(missing.values())
    verb = 'is' if len(missing) == 1 else 'are'
    packages = ' '.join(f'"{_REQUIREMENTS[module]}"' for module in missing)
    raise ImportError(
        f'tfp_glow cannot be imported because {names} {verb} missing; '
        f'run: pip install {packages}', name=next(iter(missing)))


def _is_installed(module):
  try:
    spec = importlib.util.find_spec(module)
  except ImportError:  # an import hook that refuses the module
    return False
  # An empty folder left behind by an uninstallation has a spec, but no origin.
  return spec is not None and spec.origin is not None


def _keras_before_3():
  try:
    version = importlib.metadata.version('keras')
  except importlib.metadata.PackageNotFoundError:
    return None  # keras from elsewhere, such as keras-nightly
  return version if int(version.split('.')[0]) < 3 else None
