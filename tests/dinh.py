"""What tests of RealNVP share, and the maker of their fixture.

`python -m tests.dinh` writes `fixtures/real_nvp.npz`, in the form of the
reference file: weights under the names of the paper's program, inputs, and
outputs in the image's own shape. It is made by this project's RealNVP in
float64, and only if that agrees with the reference.
"""

import json

import numpy as np
import tensorflow as tf

from tests import numpy_glow
import tfp_glow as tg
from tfp_glow import checkpoints

REFERENCE = numpy_glow.REFERENCE / 'realnvp_2scales.npz'
SHAPE = (4, 4, 2)
FIXTURE = numpy_glow.FIXTURES / 'real_nvp.npz'

# Rows and columns in a 2x2 block, in the order in which the program takes
# them: the first two go on to the next scale.
_POSITIONS = ((0, 0), (1, 1), (0, 1), (1, 0))
_INPUTS = ('config', 'x', 'standard_normal_latent')
_LOG_DETS = ('log_det', 'log_det_from_pixels', 'train_log_det')


def read(path):
  """A file's arrays, and its weights without their prefix."""
  with np.load(path) as file:
    arrays = {name: file[name] for name in file}
  weights = {name.removeprefix('weights/'): value
             for name, value in arrays.items() if name.startswith('weights/')}
  arrays = {name: value for name, value in arrays.items()
            if not name.startswith('weights/')}
  arrays['config'] = json.loads(str(arrays['config']))
  if 'log_det_per_pixel' in arrays:
    # The program counts log-determinants value by value.
    arrays['log_det_from_pixels'] = arrays.pop('log_det_per_pixel').sum(
        (1, 2, 3), dtype=np.float64)
  return weights, arrays


def to_image_layout(flow, z):
  """Flat latents in the image's shape: every squeeze is undone."""
  *finished, image = [part.numpy() for part in flow.split_latent(z)]
  for part in reversed(finished):
    squeezed = np.concatenate([image, part], axis=-1)
    n, height, width, _ = squeezed.shape
    pixels = np.split(squeezed, 4, axis=-1)
    image = np.zeros([n, 2 * height, 2 * width, pixels[0].shape[-1]], z.dtype
                     .as_numpy_dtype)
    for (row, column), values in zip(_POSITIONS, pixels):
      image[:, row::2, column::2] = values
  return image


def from_image_layout(flow, image):
  """The inverse of `to_image_layout`."""
  finished = []
  for _ in flow.latent_shapes[:-1]:
    squeezed = np.concatenate(
        [image[:, row::2, column::2] for row, column in _POSITIONS], axis=-1)
    image, part = np.split(squeezed, 2, axis=-1)
    finished.append(part)
  return flow.join_latent([*finished, image])


def outputs(flow, x, standard_normal_latent):
  """Every output that a reference file has, from `flow`."""
  x = tf.cast(x, flow.dtype)
  standard_normal_latent = standard_normal_latent.astype(
      flow.dtype.as_numpy_dtype)
  z, log_det = flow.inverse_and_log_det(x)
  train_z, train_log_det = flow.inverse_and_log_det(x, training=True)
  decoded = flow.forward(from_image_layout(flow, standard_normal_latent))
  return {
      'latent': to_image_layout(flow, z),
      'log_det': log_det.numpy(),
      'log_det_from_pixels': log_det.numpy(),
      'train_latent': to_image_layout(flow, train_z),
      'train_log_det': train_log_det.numpy(),
      'decoded': decoded.numpy(),
  }


def check(got, arrays, tolerance):
  """Raises unless outputs are within `tolerance`, log-dets within 1e-5."""
  for name, want in arrays.items():
    if name in _INPUTS:
      continue
    limits = {'rtol': 1e-5} if name in _LOG_DETS else {
        'rtol': 0., 'atol': tolerance}
    np.testing.assert_allclose(got[name], want, err_msg=name, **limits)


def randomise(flow, seed=0):
  """Moves every weight off its initial value, so that none hides an error."""
  generator = np.random.default_rng(seed)
  for variable in flow.variables:
    noise = generator.standard_normal(variable.shape)
    if 'running_variance' in variable.name:
      variable.assign(np.exp(.3 * noise))
    elif variable.trainable or 'running_mean' in variable.name:
      variable.assign_add(.2 * noise)
  return flow


def make(shape=SHAPE, dtype=tf.float64, **kwargs):
  """A small RealNVP whose every weight has moved off its initial value."""
  kwargs = {'width': 2, 'residual_blocks': 1, 'seed': 0, **kwargs}
  return randomise(tg.RealNVP(shape, dtype=dtype, **kwargs))


def images(*batch_shape, dtype=tf.float64, shape=SHAPE):
  """Standard normal images, the same each time."""
  generator = np.random.default_rng(5)
  return tf.constant(generator.standard_normal([*batch_shape, *shape]), dtype)


def couplings(flow):
  """Its coupling layers, in the order of its bijectors."""
  return [m for m in flow.submodules if isinstance(m, tg.AffineCoupling)]


def moments(flow):
  """Running averages, of the flow's and the networks' normalisations."""
  return [v for v in flow.variables if 'running' in v.name]


def make_fixture(path=FIXTURE):
  """Writes the fixture; it needs the reference file to be there."""
  weights, arrays = read(REFERENCE)
  flow = tg.load_dinh_real_nvp(weights, arrays['x'].shape[1:])
  check(outputs(flow, arrays['x'], arrays['standard_normal_latent']), arrays,
        tolerance=1e-4)

  shape = (8, 4, 2)
  flow = randomise(tg.RealNVP(shape, width=2, residual_blocks=1, seed=0))
  weights = {name: variable.numpy() for name, variable in
             checkpoints.dinh_real_nvp_variables(flow).items()}
  exact = tg.load_dinh_real_nvp(weights, shape, dtype=tf.float64)
  generator = np.random.default_rng(1)
  x, latent = generator.standard_normal([2, 3, *shape]).astype(np.float32)
  got = outputs(exact, x, latent)
  del got['log_det_from_pixels']
  np.savez_compressed(
      path, config=json.dumps(flow.get_config()), x=x,
      standard_normal_latent=latent,
      **{name: value.astype(np.float32) for name, value in got.items()},
      **{f'weights/{name}': value for name, value in weights.items()})


if __name__ == '__main__':
  make_fixture()
