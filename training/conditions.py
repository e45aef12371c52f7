"""Draws what a model makes of images that it is told, and measures it.

For example

    python -m training.conditions --workdir runs/faces_downsample
    python -m training.conditions --workdir runs/faces_downsample \\
        --baseline runs/faces --temperature 0.7

The run is one with a condition (`data.condition`). In conditions.png a row is a
condition, samples under it, and the image that it was made of. It prints a line
of JSON:

`bits_per_dim` of the held-out images, under their conditions; with --baseline,
also that of a run without a condition, and how much less it is here.
`psnr`, how well samples agree with their condition, in dB: of a sample's own
grey values, say, against those that it was told. `psnr_of_images` is that of
the images with as many bits as are modelled, the best that can be had.
`samples_differ`, the standard deviation of a value among samples under one
condition, on a scale of 0 to 255; `images_differ`, that among all images.
"""

import math

from absl import flags
import numpy as np

from training import command
from training import evaluation
from training import groups
from training import metrics
from training import pictures
from training import runs

_SAMPLES = 5


def define_flags():
  command.define_workdir()
  command.define_weights()
  command.define_split()
  flags.DEFINE_string(
      'baseline', None, 'The working folder of a run without a condition, of '
      'the same images.')
  flags.DEFINE_float(
      'temperature', 1., 'Factor of the latents.', lower_bound=0.)
  flags.DEFINE_integer('rows', 6, 'Conditions in the picture.', lower_bound=1)
  flags.DEFINE_integer(
      'images', 100, 'Of how many images samples are drawn and measured, five '
      'each.', lower_bound=2)
  flags.DEFINE_integer(
      'max_examples', None, 'Of how many images bits/dim are measured; by '
      'default of all.', lower_bound=1)
  flags.DEFINE_integer('batch_size', 100, 'Images at once.', lower_bound=1)
  flags.DEFINE_integer('seed', 0, 'Of the samples.', lower_bound=0)
  flags.DEFINE_string(
      'output', None, 'The PNG file; by default conditions.png in the working '
      'folder.')


def main(values):
  config, model = runs.load(values.workdir, values.weights)
  if 'feature_map' not in model.condition_names:
    raise ValueError(
        f'{values.workdir} has a model that is told no images: a run with '
        '`data.condition` is needed, training/configs/faces_grey.py, say.')
  images = groups.open_split(config, values.split)
  batches = images.eval_batches(values.batch_size, values.max_examples)
  bits = evaluation.bits_per_dim(model, batches)
  mean, error = evaluation.mean_and_error(bits)
  results = {'bits_per_dim': mean, 'standard_error': error,
             'images': len(bits)}
  if values.baseline is not None:
    results.update(_less_than(values.baseline, model, batches, bits))

  count = min(values.images, images.num_eval)
  pixels, conditions = evaluation.unpack(
      model, next(iter(images.eval_batches(count, count))))
  samples = np.stack([
      model.sample(count, values.temperature, seed=values.seed + number,
                   **conditions) for number in range(_SAMPLES)], axis=1)
  results.update(measure(
      model, images.condition, pixels.numpy(), conditions['feature_map'],
      samples))
  rows = slice(values.rows)
  shown = pictures.of_feature_map(conditions['feature_map'][rows], pixels)
  path = runs.results(values.workdir, values.output, 'conditions.png')
  pictures.save_grid(
      path, np.concatenate([
          shown[:, None], samples[rows], pixels[rows, None]], axis=1),
      column_labels=['condition', *['sample'] * _SAMPLES, 'image'],
      channels=config.picture_channels)
  print(metrics.as_json({**results, 'picture': str(path)}))


def measure(model, condition, images, maps, samples):
  """How well samples agree with their conditions, and how much they differ.

  Args:
    model: `FlowModel`.
    condition: `data.condition.Condition`.
    images: uint8 `[N, H, W, C]`.
    maps: float32 `[N, H, W, K]`, of the images.
    samples: uint8 `[N, S, H, W, C]`, under the maps.

  Returns:
    results: `dict` of Python `float`s, `None` where nothing can be said: of
      agreement with maps that are not made of images.
  """
  scale = 255. / model.pixels.image_dtype.max
  bins = model.pixels.quantise(model.pixels.middle(images))
  each = np.swapaxes(samples, 0, 1)
  return {
      'psnr': _psnr([condition.squared_error(one, maps) for one in each]),
      'psnr_of_images': _psnr([condition.squared_error(bins, maps)]),
      'samples_differ': scale * _deviation(samples, axis=1),
      'images_differ': scale * _deviation(images, axis=0),
  }


def _less_than(workdir, model, batches, bits):
  """Bits/dim of a model that is told nothing, of the same images."""
  _, baseline = runs.load(workdir)
  if 'feature_map' in baseline.condition_names:
    raise ValueError(
        f'--baseline={workdir} has a model that is told images, too: one that '
        'is not is needed.')
  for name in ('image_shape', 'num_bits'):
    here, there = getattr(model, name), getattr(baseline, name)
    if here != there:
      raise ValueError(
          f'--baseline={workdir} has `{name}` {there}, but this run has '
          f'{here}: their bits/dim cannot be compared.')
  of_baseline = evaluation.bits_per_dim(baseline, batches)
  less, error = evaluation.mean_and_error(of_baseline - bits)
  return {'baseline_bits_per_dim': float(np.mean(of_baseline)),
          'less_than_baseline': less, 'less_than_baseline_error': error}


def _psnr(errors):
  """dB of mean squared errors on a scale from 0 to 1."""
  if errors[0] is None:
    return None
  error = float(np.mean(errors))
  return -10. * math.log10(error) if error else math.inf


def _deviation(values, axis):
  """The root of the mean variance along an axis."""
  return float(np.sqrt(np.var(
      values, axis=axis, ddof=1, dtype=np.float64).mean()))


if __name__ == '__main__':
  command.run(define_flags, main)
