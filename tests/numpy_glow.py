"""Glow's program once more, in plain NumPy and float64.

Written from the paper and its program alone, apart from the library, and slow:
the measure of the library at shapes for which no output of the program is
stored, and the shortest way to read what it computes.
`python -m tests.numpy_glow` writes `fixtures/glow_*.npz`, in the form of the
reference files, whose outputs are this program's.
"""

import json
import os
import pathlib

import numpy as np

FIXTURES = pathlib.Path(__file__).parent / 'fixtures'
# Where files with what the papers' own programs computed are, if anywhere.
REFERENCE = pathlib.Path(os.environ.get('TFP_GLOW_REFERENCE', FIXTURES))


class NumpyGlow:
  """The program, with `weights` by its own names, and a file's `config`."""

  def __init__(self, weights, config):
    self.weights = {n: np.asarray(w, int if 'indices' in n else float)
                    for n, w in weights.items()}
    self.config = config
    self.initialising = False

  def encode(self, y, label=None):
    """Returns each level's latents, the unstandardised top, and log |det|."""
    z, log_det, eps = y, 0., []
    for level in range(self.config['levels']):
      z = squeeze(z)
      for step in range(self.config['depth']):
        z, term = self.step(z, f'model/{level}/{step}')
        log_det = log_det + term
      if level < self.config['levels'] - 1:
        z, leaves = np.split(z, 2, axis=-1)
        mean, logs = interleaved(self.zero_conv(z, f'model/pool{level}/conv'))
        eps.append((leaves - mean) / np.exp(logs))
        log_det = log_det - logs.sum((1, 2, 3))
    mean, logs = self.prior(z.shape, label)
    eps.append((z - mean) / np.exp(logs))
    return eps, z, log_det - logs.sum((1, 2, 3))

  def decode(self, eps, label=None):
    """Returns the image of each level's latents."""
    mean, logs = self.prior(eps[-1].shape, label)
    z = mean + np.exp(logs) * eps[-1]
    for level in reversed(range(self.config['levels'])):
      if level < self.config['levels'] - 1:
        mean, logs = interleaved(self.zero_conv(z, f'model/pool{level}/conv'))
        z = np.concatenate([z, mean + np.exp(logs) * eps[level]], axis=-1)
      for step in reversed(range(self.config['depth'])):
        z = self.step_back(z, f'model/{level}/{step}')
      z = unsqueeze(z)
    return z

  def preprocess(self, image, noise):
    bits = self.config['n_bits']
    return np.floor(image / 2**(8 - bits)) / 2**bits - .5 + noise

  def postprocess(self, y):
    bits = self.config['n_bits']
    return np.clip(np.floor((y + .5) * 2**bits) * 2**(8 - bits), 0,
                   255).astype(np.uint8)

  def bits_per_dim(self, eps, log_det):
    flat = np.concatenate([e.reshape(len(e), -1) for e in eps], axis=-1)
    size = flat.shape[-1]
    objective = (log_det - .5 * (flat**2 + np.log(2 * np.pi)).sum(-1)
                 - size * np.log(2**self.config['n_bits']))
    return -objective / (size * np.log(2))

  def logits(self, top):
    return self.linear(top.mean((1, 2)), 'model/classifier')

  def initialise(self, y, label=None):
    """Sets every activation normalisation from data."""
    self.initialising = True
    self.encode(y, label)
    self.initialising = False

  def step(self, x, name):
    pixels = x.shape[1] * x.shape[2]
    x, logs = self.actnorm(x, name)
    log_det = pixels * logs.sum()
    x, term = self.permute(x, name)
    log_det += pixels * term
    kept, x = np.split(x, 2, axis=-1)
    h = self.network(kept, f'{name}/f1')
    if self.config['coupling'] == 'affine':
      shift, scale = interleaved(h)
      scale = 1 / (1 + np.exp(-scale - 2))
      x = (x + shift) * scale
      log_det = log_det + np.log(scale).sum((1, 2, 3))
    else:
      x = x + h
    return np.concatenate([kept, x], axis=-1), log_det

  def step_back(self, x, name):
    kept, x = np.split(x, 2, axis=-1)
    h = self.network(kept, f'{name}/f1')
    if self.config['coupling'] == 'affine':
      shift, scale = interleaved(h)
      x = x * (1 + np.exp(-scale - 2)) - shift
    else:
      x = x - h
    x = self.permute_back(np.concatenate([kept, x], axis=-1), name)
    shift, logs = self.actnorm_weights(name)
    return x * np.exp(-logs) - shift

  def permute(self, x, name):
    if f'{name}/shuffle/indices' in self.weights:
      return x[..., self.weights[f'{name}/shuffle/indices']], 0.
    if self.config['permutation'] == 'reverse':
      return x[..., ::-1], 0.
    matrix = self.matrix(f'{name}/invconv')
    return x @ matrix, np.linalg.slogdet(matrix)[1]

  def permute_back(self, x, name):
    if f'{name}/shuffle/indices' in self.weights:
      return x[..., np.argsort(self.weights[f'{name}/shuffle/indices'])]
    if self.config['permutation'] == 'reverse':
      return x[..., ::-1]
    return x @ np.linalg.inv(self.matrix(f'{name}/invconv'))

  def matrix(self, name):
    if f'{name}/W' in self.weights:
      return self.weights[f'{name}/W']
    p, lower, upper, sign, logs = [
        self.weights[f'{name}/{n}'] for n in ('P', 'L', 'U', 'sign_S', 'log_S')]
    lower = np.tril(lower, -1) + np.eye(len(lower))
    upper = np.triu(upper, 1) + np.diag(sign * np.exp(logs))
    return p @ lower @ upper

  def network(self, x, name):
    for layer in ('l_1', 'l_2'):
      x = conv(x, self.weights[f'{name}/{layer}/W'])
      x = np.maximum(self.actnorm(x, f'{name}/{layer}')[0], 0)
    return self.zero_conv(x, f'{name}/l_last')

  def actnorm(self, x, name):
    if self.initialising:
      mean = x.mean((0, 1, 2))
      std = np.sqrt(((x - mean)**2).mean((0, 1, 2)))
      shape = (1, 1, 1, -1)
      self.weights[f'{name}/actnorm_center/b'] = -mean.reshape(shape)
      self.weights[f'{name}/actnorm_scale/logs'] = (
          np.log(1 / (std + 1e-6)) / 3).reshape(shape)
    shift, logs = self.actnorm_weights(name)
    return (x + shift) * np.exp(logs), logs

  def actnorm_weights(self, name):
    return (self.weights[f'{name}/actnorm_center/b'],
            3 * self.weights[f'{name}/actnorm_scale/logs'])

  def zero_conv(self, x, name):
    x = conv(x, self.weights[f'{name}/W']) + self.weights[f'{name}/b']
    return x * np.exp(3 * self.weights[f'{name}/logs'])

  def linear(self, x, name):
    x = x @ self.weights[f'{name}/W'] + self.weights[f'{name}/b']
    return x * np.exp(3 * self.weights[f'{name}/logs'])

  def prior(self, shape, label):
    h = np.zeros([*shape[:3], 2 * shape[3]])
    if self.config['learntop']:
      h = self.zero_conv(h, 'model/prior/p')
    if self.config['ycond']:
      one_hot = np.eye(self.config['n_y'])[label]
      h = h + self.linear(one_hot, 'model/prior/y_emb')[:, None, None]
    return np.split(h, 2, axis=-1)


def squeeze(x):
  """2x2 blocks to channels, `c*4 + dy*2 + dx`."""
  n, h, w, c = x.shape
  x = x.reshape(n, h // 2, 2, w // 2, 2, c)
  return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)


def unsqueeze(x):
  n, h, w, c = x.shape
  x = x.reshape(n, h, w, c // 4, 2, 2)
  return x.transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c // 4)


def interleaved(h):
  return h[..., 0::2], h[..., 1::2]


def conv(x, kernel):
  """3x3 with the channel that marks the padding, or 1x1 without."""
  if kernel.shape[0] == 1:
    return x @ kernel[0, 0]
  n, height, width, _ = x.shape
  x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 1)])
  x[..., -1] = 1
  x[:, 1:-1, 1:-1, -1] = 0
  return sum(x[:, dy:dy + height, dx:dx + width] @ kernel[dy, dx]
             for dy in range(3) for dx in range(3))


def random_weights(shape, config, seed=0):
  """Weights of every variable of the program, none at its initial value."""
  rng = np.random.default_rng(seed)
  weights = {}

  def add(name, *shape, scale=.05):
    weights[f'model/{name}'] = (
        scale * rng.standard_normal(shape)).astype(np.float32)

  def add_actnorm(name, channels):
    add(f'{name}/actnorm_center/b', 1, 1, 1, channels)
    add(f'{name}/actnorm_scale/logs', 1, 1, 1, channels)

  def add_zero_conv(name, inputs, outputs):
    add(f'{name}/W', 3, 3, inputs + 1, outputs)
    add(f'{name}/b', 1, 1, 1, outputs)
    add(f'{name}/logs', 1, outputs)

  def add_linear(name, inputs, outputs):
    add(f'{name}/W', inputs, outputs)
    add(f'{name}/b', 1, outputs)
    add(f'{name}/logs', 1, outputs)

  def add_permutation(name, channels):
    rotation = np.linalg.qr(rng.standard_normal([channels, channels]))[0]
    if config['permutation'] == 'shuffle':
      weights[f'model/{name}/shuffle/indices'] = rng.permutation(
          channels).astype(np.int32)
    elif config['lu']:
      weights[f'model/{name}/invconv/P'] = rng.permutation(
          np.eye(channels, dtype=np.float32))
      weights[f'model/{name}/invconv/sign_S'] = np.sign(
          rotation[0]).astype(np.float32)
      # The program ignores the other halves of the two: they are not zero.
      add(f'{name}/invconv/L', channels, channels)
      add(f'{name}/invconv/U', channels, channels)
      add(f'{name}/invconv/log_S', channels)
    elif config['permutation'] == 'invconv':
      add(f'{name}/invconv/W', channels, channels)
      weights[f'model/{name}/invconv/W'] += rotation.astype(np.float32)

  channels, width = shape[-1], config['width']
  for level in range(config['levels']):
    channels *= 4
    for step in range(config['depth']):
      name = f'{level}/{step}'
      add_actnorm(name, channels)
      add_permutation(name, channels)
      add(f'{name}/f1/l_1/W', 3, 3, channels // 2 + 1, width)
      add_actnorm(f'{name}/f1/l_1', width)
      add(f'{name}/f1/l_2/W', 1, 1, width, width, scale=.5)
      add_actnorm(f'{name}/f1/l_2', width)
      add_zero_conv(
          f'{name}/f1/l_last', width,
          channels if config['coupling'] == 'affine' else channels // 2)
    if level < config['levels'] - 1:
      add_zero_conv(f'pool{level}/conv', channels // 2, channels)
      channels //= 2
  if config['learntop']:
    add_zero_conv('prior/p', 2 * channels, 2 * channels)
  if config['ycond']:
    add_linear('prior/y_emb', config['n_y'], 2 * channels)
    add_linear('classifier', channels, config['n_y'])
  return weights


def make_file(path, shape, seed=0, **config):
  """Writes weights, inputs and outputs in the form of a reference file."""
  config = {'coupling': 'affine', 'permutation': 'invconv', 'lu': False,
            'learntop': True, 'ycond': False, 'levels': 2, 'depth': 2,
            'width': 4, 'n_bits': 8, 'n_y': 3, **config}
  rng = np.random.default_rng(seed)
  arrays = {'config': json.dumps(config)}

  def batch(prefix, size):
    image = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
    noise = (rng.random((size, *shape)) / 2**config['n_bits']).astype(
        np.float32)
    label = rng.integers(0, config['n_y'], size).astype(np.int32)
    arrays.update({f'{prefix}image': image, f'{prefix}noise': noise,
                   f'{prefix}label': label})
    return image, noise, label

  weights = random_weights(shape, config, seed)
  program = NumpyGlow(weights, config)
  image, noise, label = batch('', 3)
  eps, top, log_det = program.encode(program.preprocess(image, noise), label)
  arrays['top_latent'] = top
  arrays['bits_per_dim'] = program.bits_per_dim(eps, log_det)
  if config['ycond']:
    arrays['logits'] = program.logits(top)
  # So that most pixels are in range, and some are beyond black or white.
  decode_eps = [np.float32(.3) * rng.standard_normal(e.shape, dtype=np.float32)
                for e in eps]
  decoded = program.decode(decode_eps, label)
  arrays.update(decode_float=decoded, decode_image=program.postprocess(decoded))
  for level, (one, other) in enumerate(zip(eps, decode_eps)):
    arrays.update({f'eps_{level}': one, f'decode_eps_{level}': other})

  image, noise, label = batch('init_', 8)
  program.initialise(program.preprocess(image, noise), label)
  arrays.update({f'weights/{n}': w for n, w in weights.items()})
  for name, value in program.weights.items():
    if '/actnorm_' in name:
      arrays[f'after_init/{name}'] = value
      weights[name] = np.zeros_like(weights[name])
  arrays.update({f'before_init/{n}': w for n, w in weights.items()})
  np.savez_compressed(path, **arrays)


def main():
  """Writes the fixtures."""
  make_file(FIXTURES / 'glow_conv1x1.npz', (8, 4, 1))
  make_file(FIXTURES / 'glow_lu_classes.npz', (8, 4, 2), lu=True, ycond=True)
  make_file(FIXTURES / 'glow_shuffle_5bit.npz', (8, 8, 1), levels=3, depth=1,
            permutation='shuffle', coupling='additive', learntop=False,
            n_bits=5)


if __name__ == '__main__':
  main()
