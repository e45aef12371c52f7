"""How exactly a Glow as deep as the paper's gives images back.

```shell
python -m benchmarks.depth [--width 512] [--steps 32] [--images 4] [--noise .1]
```

builds 3 levels for images of 32x32x3 and moves every weight off its initial
value, those that start at zero included, by normal noise from a plain seed:
of standard deviation `noise / sqrt(inputs)` for kernels and matrices, so that
outputs move alike at any width, and `noise / 10` for vectors. Then activation
normalisations are initialised from the images, so that latents stay of order 1
at any depth. The images are half uniform noise and half smooth ones.

How exact a flow is depends on how much it enlarges the rounding of its
latents, and with random networks this grows fast: at the default size
`--noise .2` has ten times the error of `.1`, and `.3` a thousand times.

In float32, `FlowModel.decode(FlowModel.encode(images))` must return every
pixel: if it does not, the command exits with an error. With networks built
under Keras's `mixed_bfloat16` policy the same must hold, because encoding and
decoding compute in float32 whatever networks were trained in. The last two
columns show what they would give if networks ran in bfloat16 there, too, as
they do in training.
"""

import argparse
import dataclasses
import math
import re
import sys

import keras
import numpy as np
import tensorflow as tf

from tfp_glow import model as model_lib
from tfp_glow.flows import glow

VARIANTS = (('conv1x1', 'affine'), ('lu', 'affine'),
            ('conv1x1', 'additive'), ('lu', 'additive'))
POLICIES = ('float32', 'mixed_bfloat16')
_SIDE = 32
_COLUMNS = '{:<9} {:<9} {:<15} {:>9} {:>8} {:>18} {:>9} {:>16} {:>9}'


@dataclasses.dataclass(frozen=True)
class Result:
  """What one flow gave back.

  Errors are the largest of `forward(inverse(y)) - y`, with `y` in
  `[-0.5, 0.5)`: half a pixel's level is 2e-3. Pixels are the share of them
  that came back.
  """

  permutation: str
  coupling: str
  policy: str
  bits_per_dim: float
  largest_latent: float
  error: float
  pixels: float
  low_precision_error: float | None = None
  low_precision_pixels: float | None = None

  def __str__(self):
    columns = [self.permutation, self.coupling, self.policy,
               f'{self.bits_per_dim:.3f}', f'{self.largest_latent:.1f}',
               f'{self.error:.1e}', f'{self.pixels:.3%}', '', '']
    if self.low_precision_error is not None:
      columns[-2:] = [f'{self.low_precision_error:.1e}',
                      f'{self.low_precision_pixels:.3%}']
    return _COLUMNS.format(*columns)


def synthetic_images(num_images, seed=0):
  """Uniform noise, and sums of a few waves, in turn.

  Args:
    num_images: Python `int`, how many.
    seed: Python `int`. Default value: `0`.

  Returns:
    images: uint8 `[num_images, 32, 32, 3]`.
  """
  rng = np.random.default_rng(seed)
  images = rng.integers(
      0, 256, (num_images, _SIDE, _SIDE, 3), dtype=np.uint8)
  rows, columns = np.mgrid[:_SIDE, :_SIDE] / _SIDE
  for image in images[1::2]:
    waves = [np.sin(2. * np.pi * (a * rows + b * columns + c))
             for a, b, c in rng.uniform(-2., 2., (9, 3))]
    smooth = np.sum(np.reshape(waves, [3, 3, _SIDE, _SIDE]), axis=0)
    image[...] = np.clip(128. + 60. * np.moveaxis(smooth, 0, -1), 0., 255.)
  return images


def moved_glow(images, permutation, coupling, steps, width, noise, seed=0):
  """A `FlowModel` of a Glow whose weights have left their initial values.

  Args:
    images: uint8 `[N, 32, 32, 3]`, which it is initialised from.
    permutation: Python `str`, see `tfp_glow.Glow`.
    coupling: Python `str`, see `tfp_glow.Glow`.
    steps: Python `int`, steps of each of the 3 levels.
    width: Python `int`, channels inside the networks.
    noise: Python `float`, how far the weights are moved.
    seed: Python `int`. Default value: `0`.

  Returns:
    model: `FlowModel`.
  """
  flow = glow.Glow((_SIDE, _SIDE, 3), levels=3, steps=steps, width=width,
                   coupling=coupling, permutation=permutation, seed=seed)
  rng = np.random.default_rng(seed)
  for variable in flow.trainable_variables:
    # Weights of alike steps are in one variable, a row each.
    shape = variable.shape[1 if re.match(r'level_\d+/', variable.name) else 0:]
    deviation = noise / (
        math.sqrt(math.prod(shape[:-1])) if len(shape) > 1 else 10.)
    variable.assign_add(
        deviation * rng.standard_normal(variable.shape, dtype=np.float32))
  model = model_lib.FlowModel(flow, seed=seed)
  model.adapt(images)
  return model


def measure(images, permutation, coupling, policy, steps, width, noise):
  """Encodes and decodes images.

  Args:
    images: uint8 `[N, 32, 32, 3]`.
    permutation: Python `str`, see `tfp_glow.Glow`.
    coupling: Python `str`, see `tfp_glow.Glow`.
    policy: Python `str`, Keras dtype policy of the networks.
    steps: Python `int`, steps of each level.
    width: Python `int`, channels inside the networks.
    noise: Python `float`, how far the weights are moved.

  Returns:
    result: `Result`.
  """
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    model = moved_glow(images, permutation, coupling, steps, width, noise)
  finally:
    keras.config.set_dtype_policy(before)
  flow = model.flow
  centered = tf.constant((images + .5) / 256. - .5, tf.float32)

  def decoded(training):
    # TFP would look `forward` of the very tensor up, were it not another one.
    latents = tf.identity(flow.inverse(centered, training=training))
    return flow.forward(latents, training=training).numpy()

  latents = model.encode(images)
  result = Result(
      permutation, coupling, policy,
      bits_per_dim=float(np.mean(model.bits_per_dim(images))),
      largest_latent=float(np.abs(latents).max()),
      error=float(np.abs(decoded(training=False) - centered).max()),
      pixels=float(np.mean(model.decode(latents).numpy() == images)))
  if policy == 'float32':
    return result
  # In training, networks run in the precision of their policy.
  images_back = decoded(training=True)
  pixels = np.clip(np.floor((images_back + .5) * 256.), 0., 255.)
  return dataclasses.replace(
      result,
      low_precision_error=float(np.abs(images_back - centered).max()),
      low_precision_pixels=float(np.mean(pixels == images)))


def main(argv=None):
  """Prints the table.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0` if every pixel came back where it must, else `1`.
  """
  parser = argparse.ArgumentParser(
      prog='python -m benchmarks.depth',
      description='How exactly a deep Glow gives images back.',
      formatter_class=argparse.ArgumentDefaultsHelpFormatter)
  parser.add_argument('--width', type=int, default=512,
                      help='channels inside the networks')
  parser.add_argument('--steps', type=int, default=32,
                      help='steps of each of the 3 levels')
  parser.add_argument('--images', type=int, default=4, help='how many')
  parser.add_argument('--noise', type=float, default=.1,
                      help='how far weights are moved')
  args = parser.parse_args(argv)
  print(f'Glow, 3 levels x {args.steps} steps, width {args.width}; '
        f'{args.images} images of 32x32x3; noise {args.noise}. Largest '
        'errors of forward(inverse(y)), y in [-0.5, 0.5).')
  print(_COLUMNS.format('', '', '', '', 'largest', 'encode and decode', '',
                        'all in bfloat16', ''))
  print(_COLUMNS.format('1x1 conv', 'coupling', 'networks', 'bits/dim',
                        'latent', 'error', 'pixels', 'error', 'pixels'))
  images = synthetic_images(args.images)
  exact = True
  for permutation, coupling in VARIANTS:
    for policy in POLICIES:
      result = measure(
          images, permutation, coupling, policy, args.steps, args.width,
          args.noise)
      print(result, flush=True)
      exact = exact and result.pixels == 1.
  if not exact:
    print('Encoding and decoding changed pixels.', file=sys.stderr)
  return 0 if exact else 1


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
