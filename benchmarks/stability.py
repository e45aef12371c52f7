r"""Whether samples of a trained run are pictures, and images come back.

```shell
python -m benchmarks.stability --workdir runs/mine [--samples 1024]
    [--images 256] [--temperatures 0.7,1,1.5,2,3] [--json FILE]
```

prints

- the share of samples that are not finite, and of those that are, but have a
  value further from the middle of the grey scale than the scale is long, at
  each temperature, of the same latents;
- how many images come back from their latents with every modelled bit:
  held-out ones, the same inverted, uniform noise, and images of one grey;
- bits/dim of the held-out ones, with its standard error;
- by how much a small change grows at most on its way to the latents and back:
  in the whole flow, and in single layers, the worst of each kind, for held-out
  images, noise, and samples at temperature 1 and at the highest.

`measure` does it for any `FlowModel`.
"""

import json
import math
import sys

import numpy as np
import tensorflow as tf

from benchmarks import command
from training import evaluation
from training import groups
from training import runs
from training import stability

TEMPERATURES = (.7, 1., 1.5, 2., 3.)
# Growth is measured for so many images and samples.
_ROWS = 16


def measure(model, images, num_samples=1024, temperatures=TEMPERATURES,
            seed=0, **conditions):
  """Measures a model.

  Args:
    model: `FlowModel`.
    images: uint8 `[N, H, W, C]`, held out, at least two.
    num_samples: Python `int`, at each temperature. Default value: `1024`.
    temperatures: Python `float`s. Default value: `TEMPERATURES`.
    seed: Python `int`, of latents and noise. Default value: `0`.
    **conditions: Conditions of the images, by name, batch-major; samples take
      them in turn.

  Returns:
    results: `dict` that JSON can tell:

      samples: Of each temperature, `stability.Stability.samples`.
      images: How many came back, of each kind, `come_back`, of `images`.
      bits_per_dim, standard_error: Of the held-out images.
      amplification: Of each group, the largest growth in the whole flow, on
        the way that the group goes.
      layers: Of each group, `stability.Stability.layers`.
  """
  measured = stability.Stability(model)
  kinds = {'held-out': np.asarray(images), **stability.outside(images, seed)}
  bits, error = evaluation.mean_and_error(
      np.asarray(model.bits_per_dim(images, **conditions), np.float64))
  few = {name: value[:_ROWS] for name, value in conditions.items()}
  encoded = {kind: kinds[kind][:_ROWS] for kind in ('held-out', 'noise')}
  decoded = {f'samples, T={t:g}': model.sample_latents(_ROWS, t, seed)
             for t in (1., max(temperatures))}
  return {
      'samples': {f'{t:g}': measured.samples(
          num_samples, t, seed, **conditions) for t in temperatures},
      'images': {kind: {
          'come_back': int(measured.comes_back(rows, **conditions).sum()),
          'of': len(rows)} for kind, rows in kinds.items()},
      'bits_per_dim': bits,
      'standard_error': error,
      'amplification': {
          **{kind: float(measured.encode_amplification(rows, **few).max())
             for kind, rows in encoded.items()},
          **{kind: float(measured.decode_amplification(rows, **few).max())
             for kind, rows in decoded.items()}},
      'layers': {
          **{kind: measured.layers(images=rows, **few)
             for kind, rows in encoded.items()},
          **{kind: measured.layers(latents=rows, **few)
             for kind, rows in decoded.items()}},
  }


def table(results):
  """Lines of text, of what `measure` gave or its file has."""
  temperatures = list(results['samples'])
  lines = [_row('temperature', temperatures)]
  for title, share in (('not finite', 'not_finite'),
                       ('beyond twice the range', 'beyond_twice_the_range')):
    lines.append(_row(title, [
        f'{results["samples"][t][share]:.2%}' for t in temperatures]))
  lines += ['', _row('images', list(results['images'])),
            _row('come back', [f'{counts["come_back"]} of {counts["of"]}'
                               for counts in results['images'].values()]),
            '', f'bits/dim {results["bits_per_dim"]:.3f} +- '
            f'{results["standard_error"]:.3f}', '']
  groups_ = list(results['amplification'])
  lines += [_row('a small change grows by', groups_),
            _row('in the whole flow', [
                f'{float(growth):.3g}'
                for growth in results['amplification'].values()])]
  for kind in dict.fromkeys(
      layer['kind'] for layer in results['layers'][groups_[0]]):
    for way in ('encode', 'decode'):
      worst = [_worst(results['layers'][group], kind, way)
               for group in groups_]
      lines.append(_row(f'{kind}, {way}', [
          '' if layer is None else f'{float(layer[way]):.3g}'
          for layer in worst]))
      lines.append(_row('', [
          '' if layer is None else layer['layer'].replace('level', 'lev.')
          for layer in worst]))
  return '\n'.join(lines)


def _worst(layers, kind, way):
  """The layer of a kind that amplifies most, or `None`."""
  layers = [layer for layer in layers
            if layer['kind'] == kind and layer[way] is not None]
  return max(layers, key=lambda layer: float(layer[way]), default=None)


def _row(title, cells):
  return f'{title:<26}' + ''.join(f'{cell:>18}' for cell in cells)


def _strict(value):
  """`value` with a string for what is infinite: JSON has no number for it."""
  if isinstance(value, dict):
    return {name: _strict(one) for name, one in value.items()}
  if isinstance(value, list):
    return [_strict(one) for one in value]
  return 'inf' if value == math.inf else value


def main(argv=None):
  """Prints the table, and writes what was asked for.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.stability', __doc__)
  parser.add_argument('--workdir', required=True,
                      help='the working folder of the training run')
  parser.add_argument('--weights', choices=runs.WEIGHTS,
                      help='by default the average where there is one')
  parser.add_argument('--split', help='which images; by default those that '
                                      'the recipe evaluates on')
  parser.add_argument('--samples', type=int, default=1024,
                      help='at each temperature; default: 1024')
  parser.add_argument('--images', type=int, default=256,
                      help='of each kind; default: 256')
  parser.add_argument('--temperatures',
                      default=','.join(f'{t:g}' for t in TEMPERATURES),
                      help='with commas; default: %(default)s')
  parser.add_argument('--seed', type=int, default=0, help='default: 0')
  command.add_json(parser)
  args = parser.parse_args(argv)
  config, model = runs.load(args.workdir, args.weights)
  images, conditions = evaluation.unpack(model, next(iter(groups.open_split(
      config, args.split).eval_batches(args.images, args.images))))
  results = measure(
      model, images.numpy(), args.samples,
      [float(t) for t in args.temperatures.split(',')], args.seed,
      **conditions)
  print(table(results))
  if args.json:
    args.json.write_text(json.dumps(_strict(results), indent=1) + '\n')
  return 0


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
