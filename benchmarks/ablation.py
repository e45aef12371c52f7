r"""What the form of a coupling's scale costs, and how often samples break down.

```shell
python -m benchmarks.ablation --data npz:photos.npz [--bits 8] [--steps 800] \
    [--scales NAME,NAME] [--seeds 0] [--json FILE]
python -m benchmarks.ablation --markdown FILE [FILE ...]
```

trains a Glow of 3 levels x 4 steps, width 32, on images of 32x32 with each
form of `AffineCoupling`'s scale, for as many steps from the same weights and
images, and prints for each: bits/dim on held-out images, at half of the steps
and at the end, with its standard error; the share of samples that are not
finite, and of those beyond twice the range, at several temperatures; and how
many images of uniform noise come back from their latents. `--markdown`
prints the table of files that `--json` wrote.

The forms, with `s = sigmoid(h + 2)`:

```none
sigmoid    s                           (Glow)
b=0.1      0.1 + 0.9 s                 and so on: bounded below
2 sigmoid  2 sigmoid(h)                (Jet, Kolesnikov et al., 2024)
clamped    exp(4 / pi atan(h / 2))     (FrEIA; Ardizzone et al., 2019)
1/2 to 2   1/2 + 3/2 sigmoid(h - log 2), and so on: bounded on both sides
2**tanh    2**tanh(h)                  (ours, `scale='bounded'`)
```
"""

import json
import math
import pathlib
import sys
from unittest import mock

import keras
import tensorflow as tf

from benchmarks import command
from tfp_glow.bijectors import coupling
from training import config as config_lib
from training import data
from training import evaluation
from training import models
from training import stability

TEMPERATURES = (.7, 1., 1.5, 2.)


def _bounded(lowest):
  """log of `lowest + (1 - lowest) sigmoid(h + 2)`."""
  return lambda h: math.log(lowest) + tf.math.log1p(
      (1. / lowest - 1.) * tf.sigmoid(h + 2.))


def _between(lowest, highest):
  """log of a sigmoid from `lowest` to `highest` that is 1 at `h = 0`."""
  middle = math.log((1. - lowest) / (highest - 1.))
  return lambda h: tf.math.log(
      lowest + (highest - lowest) * tf.sigmoid(h + middle))


# log scale(h) of each, as in the couplings' own table.
LOG_SCALES = {
    'sigmoid': lambda h: tf.math.log_sigmoid(h + 2.),
    'b=0.1': _bounded(.1),
    'b=0.25': _bounded(.25),
    'b=0.5': _bounded(.5),
    'b=0.7': _bounded(.7),
    '2 sigmoid': lambda h: math.log(2.) + tf.math.log_sigmoid(h),
    'clamped': lambda h: 4. / math.pi * tf.atan(h / 2.),
    '1/2 to 3/2': _between(.5, 1.5),
    '1/2 to 2': _between(.5, 2.),
    '2**tanh': coupling.LOG_SCALES['bounded'],
}


def recipe(name, bits, steps, seed):
  """The fields of a run; see `training.config.get_config`."""
  config = config_lib.get_config('glow')
  config.data.update(name=name, image_size=32, channels=3)
  config.model.update(levels=3, steps=4, width=32, num_bits=bits)
  config.optimizer.update(
      learning_rate=2e-3, warmup_images=32 * max(1, steps // 8),
      schedule='cosine', clip=50.)
  config.update(batch_size=32, steps=steps, seed=seed)
  return config


def train(config, form, num_eval=500, num_samples=1024):
  """Trains a run of one form, and measures it.

  Args:
    config: The fields of `recipe`.
    form: Python `str`, one of `LOG_SCALES`.
    num_eval: Python `int`, held-out images. Default value: `500`.
    num_samples: Python `int`, samples at each temperature.
      Default value: `1024`.

  Returns:
    row: `dict` of what was measured.
  """
  keras.utils.set_random_seed(config.seed)
  images = data.open(config.data)
  held_out = images.eval_batches(100, num_eval)
  # No options of the library: but for 2**tanh, what is compared is not kept.
  with mock.patch.dict(coupling.LOG_SCALES, sigmoid=LOG_SCALES[form]):  # pylint: disable=protected-access
    model = models.build(config, images.image_shape, None)
    models.compile_model(model, config)
    examples = images.train_examples(config.initial_images, config.seed)
    model.adapt(examples[0] if isinstance(examples, tuple) else examples)
    half = config.steps // 2
    row = {'data': config.data.name, 'bits': config.model.num_bits,
           'steps': config.steps, 'seed': config.seed, 'form': form}
    for start, when in ((0, 'half'), (half, 'end')):
      model.fit(images.train_batches(32, config.seed, start_step=start),
                steps_per_epoch=half, verbose=0)
      mean, error = evaluation.mean_and_error(
          evaluation.bits_per_dim(model, held_out))
      row[f'bits_per_dim_{when}'], row['standard_error'] = mean, error
    row['skipped_steps'] = int(model.skipped_steps.numpy())
    measure = stability.Stability(model)
    row['samples'] = {
        f'{t:g}': measure.samples(num_samples, t) for t in TEMPERATURES}
    shown, _ = evaluation.images_and_labels(held_out)
    noise = stability.outside(shown[:256])['noise']
    row['noise_comes_back'] = float(measure.comes_back(noise).mean())
  return row


def markdown(rows):
  """Rows as a Markdown table."""
  heads = [f'T={t:g}' for t in TEMPERATURES]
  lines = [
      '| scale | bits/dim, half | at the end | '
      + ' | '.join(f'not finite, {h}' for h in heads) + ' | '
      + ' | '.join(f'beyond, {h}' for h in heads) + ' | noise comes back |',
      '| --- ' * (4 + 2 * len(heads)) + '|']
  for row in rows:
    shares = [
        f'{row["samples"][f"{t:g}"][kind]:.1%}'
        for kind in ('not_finite', 'beyond_twice_the_range')
        for t in TEMPERATURES]
    lines.append('| ' + ' | '.join([
        row['form'], f'{row["bits_per_dim_half"]:.3f}',
        f'{row["bits_per_dim_end"]:.3f} +- {row["standard_error"]:.3f}',
        *shares, f'{row["noise_comes_back"]:.0%}']) + ' |')
  return '\n'.join(lines)


def main(argv=None):
  """Trains, prints the table, and writes what was asked for.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.ablation', __doc__)
  parser.add_argument('--data', help='a data set, as --config.data.name')
  parser.add_argument('--bits', type=int, default=8, help='default: 8')
  parser.add_argument('--steps', type=int, default=800, help='default: 800')
  parser.add_argument('--scales', default=','.join(LOG_SCALES),
                      help='with commas; by default all')
  parser.add_argument('--seeds', default='0', help='with commas; default: 0')
  command.add_json(parser)
  parser.add_argument('--markdown', type=pathlib.Path, nargs='+',
                      metavar='JSON', help='print these files as a table')
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown([row for path in args.markdown
                    for row in json.loads(path.read_text())]))
    return 0
  forms = args.scales.split(',')
  unknown = [form for form in forms if form not in LOG_SCALES]
  if unknown or not args.data:
    parser.error(
        f'--scales has {unknown[0]!r}, which is none of {list(LOG_SCALES)}'
        if unknown else '--data is needed')
  rows = []
  for form in forms:
    for seed in map(int, args.seeds.split(',')):
      rows.append(train(recipe(args.data, args.bits, args.steps, seed), form))
      print(markdown(rows[-1:]).splitlines()[-1], flush=True)
  if args.json:
    args.json.write_text(json.dumps(rows, indent=1) + '\n')
  return 0


if __name__ == '__main__':
  tf.get_logger().setLevel('ERROR')  # it warns that each model is traced
  sys.exit(main())
