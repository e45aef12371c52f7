r"""Compares the library with what the papers' own programs computed.

```shell
python -m benchmarks.parity FOLDER [--dtype float32|float64|both]
```

prints a table, a line for each output stored in each `.npz` file of the
folder, and exits with an error if any is further off than its tolerance. Files
hold a program's weights, inputs and outputs by the names that
`tests/numpy_glow` gives them; `tests/fixtures` has some of the project's own
making.
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from tfp_glow import checkpoints
from tfp_glow import model as model_lib
from tfp_glow.bijectors import squeeze

# Stored values are float32; so near a rounding edge either pixel is right.
EDGE = 1e-4
_COLUMNS = '{:<28} {:<8} {:<28} {:>9} {:>9} {:>15}  {}'


@dataclasses.dataclass(frozen=True)
class Row:
  """How far one array is from the stored one.

  `absolute` is the largest absolute error. `relative` is the largest error
  within an image over the largest stored value of that image; where there is
  one number for each image this is the relative error of that number.
  """

  file: str
  dtype: str
  array: str
  absolute: float
  relative: float
  tolerance: float
  is_relative: bool = False
  note: str = ''

  @property
  def passed(self):
    error = self.relative if self.is_relative else self.absolute
    return bool(error <= self.tolerance)  # not so where it is NaN

  def __str__(self):
    kind = 'relative' if self.is_relative else 'absolute'
    tolerance = 'identical'
    if self.tolerance:
      tolerance = f'{self.tolerance:.0e} {kind}'
    result = 'pass' if self.passed else 'FAIL'
    return _COLUMNS.format(
        self.file, self.dtype, self.array, f'{self.absolute:.1e}',
        f'{self.relative:.1e}', tolerance,
        result + (f' ({self.note})' if self.note else ''))


def compare_file(path, dtype=tf.float32):
  """Compares every output stored in a file.

  Args:
    path: Path of an `.npz` file.
    dtype: `tf.float32` or `tf.float64`. Default value: `tf.float32`.

  Returns:
    rows: List of `Row`.

  Raises:
    ValueError: If the file is of neither program.
  """
  path = pathlib.Path(path)
  with np.load(path) as arrays:
    stored = {name: arrays[name] for name in arrays.files}
  config = json.loads(str(stored['config'])) if 'config' in stored else {}
  compare = _Comparison(path.name, tf.as_dtype(dtype), stored)
  if 'coupling' in config:
    return _compare_glow(compare, config)
  if 'residual_blocks' in config:
    return _compare_real_nvp(compare)
  raise ValueError(
      f'{path} has no "config" of a Glow ("coupling") or RealNVP '
      f'("residual_blocks"); its arrays are {sorted(stored)[:5]} and so on.')


def to_image_layout(flow, z):
  """Lays a RealNVP's latents out as its authors' program does.

  Args:
    flow: `RealNVP`.
    z: Flat latents, `[N, D]`.

  Returns:
    latents: `Tensor` `[N, H, W, C]`: every squeeze is undone.
  """
  *leave, latents = flow.split_latent(z)
  undo = squeeze.Squeeze('alternating', dtype=flow.dtype)
  for part in reversed(leave):
    latents = undo.forward(tf.concat([latents, part], axis=-1))
  return latents


def from_image_layout(flow, latents):
  """Undoes `to_image_layout`."""
  do = squeeze.Squeeze('alternating', dtype=flow.dtype)
  parts = []
  for _ in flow.latent_shapes[1:]:
    latents, part = tf.split(do.inverse(latents), 2, axis=-1)
    parts.append(part)
  return flow.join_latent([*parts, latents])


class _Comparison:
  """Collects the rows of one file."""

  def __init__(self, file, dtype, stored):
    self.file = file
    self.dtype = dtype
    self.stored = stored
    self.rows = []
    # What rounding adds to the latents in float32, float64 does without.
    self.latent_tolerance = 1e-5 if dtype == tf.float64 else 1e-4

  def __getitem__(self, name):
    """A stored array, as the flow takes it."""
    array = self.stored[name]
    if array.dtype.kind == 'f':
      array = array.astype(self.dtype.as_numpy_dtype)
    return array

  def group(self, prefix):
    """The stored arrays under `prefix/`, by the rest of their names."""
    return {n.removeprefix(prefix + '/'): v for n, v in self.stored.items()
            if n.startswith(prefix + '/')}

  def add(self, array, value, tolerance, expected=None, **kwargs):
    """Compares `value` with the stored array of that name, or `expected`."""
    if expected is None:
      expected = self.stored[array]
    self.rows.append(Row(
        self.file, self.dtype.name, array, *_errors(value, expected),
        tolerance, **kwargs))


def _errors(value, expected):
  """Largest absolute and relative error, see `Row`."""
  value = np.asarray(value, np.float64)
  expected = np.asarray(expected, np.float64)
  if value.shape != expected.shape:
    raise ValueError(
        f'A value of shape {value.shape} is compared with one of shape '
        f'{expected.shape}.')
  error = np.abs(value - expected).reshape(len(expected), -1).max(-1)
  largest = np.abs(expected).reshape(len(expected), -1).max(-1)
  relative = np.divide(
      error, largest, out=np.where(error == 0., 0., np.inf),
      where=largest != 0.)
  return float(error.max()), float(relative.max())


def _compare_glow(compare, config):
  """Encoding, decoding and initialisation of Glow's program."""
  shape = compare.stored['image'].shape[1:]

  def labels(name):
    return {'label': compare[name]} if config['ycond'] else {}

  flow = checkpoints.load_openai_glow(
      compare.group('weights'), shape, dtype=compare.dtype)
  model = model_lib.FlowModel(flow, num_bits=config['n_bits'])
  latents, log_prob = model.latents_and_log_prob(
      _dequantised(compare, 'image', 'noise', model.pixels), **labels('label'))
  compare.add('bits_per_dim', model.pixels.bits_per_dim(log_prob), 1e-5)
  for level, part in enumerate(flow.split_latent(latents)):
    compare.add(f'eps_{level}', part, compare.latent_tolerance)
  compare.add('top_latent', flow.top_latent(latents, **labels('label')),
              compare.latent_tolerance)
  if 'logits' in compare.stored:
    compare.add('logits', flow.class_logits(latents, compare['label']),
                compare.latent_tolerance)
  _compare_decoded(compare, model, labels('label'))
  _compare_initialised(compare, config, labels)
  return compare.rows


def _dequantised(compare, image, noise, pixels):
  """Stored images with stored noise, in `[0, 2**num_bits)`."""
  return pixels.dequantise(
      compare.stored[image], compare[noise] * pixels.num_bins)


def _compare_decoded(compare, model, conditions):
  """The decoded image, before and after it is rounded."""
  flow = model.flow
  z = flow.join_latent([
      compare[f'decode_eps_{i}'] for i in range(len(flow.latent_shapes))])
  compare.add('decode_float', flow.forward(z, **conditions), 1e-4)
  decoded = model.decode(z, **conditions).numpy()
  expected = compare.stored['decode_image']
  values = compare.stored['decode_float'].astype(np.float64)
  num_bins = model.pixels.num_bins
  edges = np.round(values * num_bins) / num_bins
  one_bin = np.abs(decoded.astype(int) - expected) <= model.pixels.bin_width
  allowed = (np.abs(values - edges) <= EDGE) & one_bin
  num_allowed = np.sum(allowed & (decoded != expected))
  compare.add(
      'decode_image', np.where(allowed, expected, decoded), 0.,
      note=f'{num_allowed} pixels at a rounding edge differ')


def _compare_initialised(compare, config, labels):
  """Every activation normalisation after data-dependent initialisation."""
  shape = compare.stored['init_image'].shape[1:]
  flow = checkpoints.load_openai_glow(
      compare.group('before_init'), shape, dtype=compare.dtype)
  model = model_lib.FlowModel(flow, num_bits=config['n_bits'])
  model.distribution.bijector.initialize(
      _dequantised(compare, 'init_image', 'init_noise', model.pixels),
      **labels('init_label'))
  variables = checkpoints.openai_glow_variables(flow)
  for name in compare.group('after_init'):
    compare.add(f'after_init/{name}', variables[name].numpy(),
                compare.latent_tolerance)


def _compare_real_nvp(compare):
  """Encoding in both modes, and decoding, of RealNVP's program."""
  x = compare['x']
  flow = checkpoints.load_dinh_real_nvp(
      compare.group('weights'), x.shape[1:], dtype=compare.dtype)
  z, log_det = flow.inverse_and_log_det(x)
  compare.add('latent', to_image_layout(flow, z), compare.latent_tolerance)
  compare.add('log_det', log_det, 1e-5, is_relative=True)
  if 'log_det_per_pixel' in compare.stored:
    per_pixel = compare.stored['log_det_per_pixel'].astype(np.float64)
    compare.add('log_det_per_pixel, summed', log_det, 1e-5,
                per_pixel.sum((1, 2, 3)), is_relative=True)
  normal = from_image_layout(flow, compare['standard_normal_latent'])
  compare.add('decoded', flow.forward(normal), 1e-4)
  z, log_det = flow.inverse_and_log_det(x, training=True)
  # The stored ones have batch statistics that were rounded to float32.
  compare.add('train_latent', to_image_layout(flow, z), 1e-4)
  compare.add('train_log_det', log_det, 1e-5, is_relative=True)
  return compare.rows


def _without_repetition(rows):
  """One row, the worst, for all initialised arrays that pass."""
  rows, groups = list(rows), collections.defaultdict(list)
  for row in rows:
    if row.array.startswith('after_init/') and row.passed:
      groups[row.file, row.dtype].append(row)
  shown = []
  for row in rows:
    group = groups[row.file, row.dtype]
    if row not in group:
      shown.append(row)
    elif row is group[0]:
      worst = max(group, key=lambda r: r.absolute)
      shown.append(dataclasses.replace(
          worst, array=f'after_init/ ({len(group)} arrays)',
          relative=max(r.relative for r in group)))
  return shown


def main(argv=None):
  """Prints the table.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0` if all pass, `1` if any fails, `2` if nothing was compared.
  """
  parser = argparse.ArgumentParser(
      prog='python -m benchmarks.parity',
      description="Compares the library with stored outputs of the papers' "
                  'own programs.')
  parser.add_argument('folder', type=pathlib.Path,
                      help='folder of .npz files, searched without subfolders')
  parser.add_argument('--dtype', choices=['float32', 'float64', 'both'],
                      default='both', help='default: both')
  args = parser.parse_args(argv)
  paths = sorted(args.folder.glob('*.npz'))
  if not paths:
    print(f'There is no .npz file in {args.folder}'
          + ('.' if args.folder.is_dir() else ', which is no folder.'),
          file=sys.stderr)
    return 2
  dtypes = ['float32', 'float64'] if args.dtype == 'both' else [args.dtype]
  print(_COLUMNS.format('file', 'dtype', 'array', 'absolute', 'relative',
                        'tolerance', 'result'))
  rows, unread = [], []
  for path in paths:
    for dtype in dtypes:
      try:
        new = compare_file(path, dtype)
      except ValueError as error:
        print(f'{path}: {error}', file=sys.stderr)
        unread.append(path)
        break
      rows += new
      for row in _without_repetition(new):
        print(row)
  failed = [row for row in rows if not row.passed]
  print(f'{len(rows)} arrays in {len(paths)} files: '
        f'{len(rows) - len(failed)} pass, {len(failed)} fail; '
        f'{len(unread)} files could not be compared.')
  return 1 if failed or unread else 0


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
