"""Says which images are unusual to a trained model, and where they are so.

For example

    python -m training.score --workdir runs/mine --images ~/new_images
    python -m training.score --workdir runs/mine --good ~/good --bad ~/damaged

Scores are in bits/dim, the higher the more unusual: `bits_per_dim`;
`complexity`, bits/dim less those of a lossless compressor; `typicality`, the
distance from the mean bits/dim of the training images; and, with --background,
`ratio`, bits/dim less those of another run's model. docs/unusual-images.md says
which to take.

Of a run that is told images (`data.condition`), each is told of itself, what
`'mask'` hides in the middle: the score is of the rest, given that.

It writes scores.csv, a line for each file, and ranked.png, the most and the
least unusual images with their maps: bits/dim where they are. It prints a line
of JSON; with --good and --bad, that has the AUROC of each score, with an
interval of 95 %.
"""

import csv
import json
import pathlib

from absl import flags
from absl import logging
from matplotlib import colormaps
from matplotlib import colors
import numpy as np
import scipy.stats
import tensorflow as tf
import tqdm

import tfp_glow
from tfp_glow import scores as scores_lib
from training import command
from training import evaluation
from training import files
from training import pictures
from training import runs
from training.data import condition as condition_lib

_GROUPS = ('images', 'good', 'bad')
_RESAMPLES = 1000
_NUM_LISTED = 10


def define_flags():
  command.define_workdir()
  command.define_weights()
  flags.DEFINE_string('images', None, 'The folder of the images to score.')
  flags.DEFINE_string(
      'good', None, 'A folder of images that are as they should be; with '
      '--bad.')
  flags.DEFINE_string(
      'bad', None, 'A folder of images that are not as they should be; with '
      '--good.')
  flags.DEFINE_string(
      'background', None, 'The working folder of a run whose model knows what '
      'all images have in common, for the score `ratio`.')
  flags.DEFINE_enum(
      'rank_by', 'complexity', scores_lib.METHODS, 'The score that ranked.png '
      'goes by.')
  flags.DEFINE_integer(
      'typical_images', 1000, 'Of how many training images the mean is taken, '
      'for `typicality`; 0 leaves that score out.', lower_bound=0)
  flags.DEFINE_integer(
      'columns', 8, 'Images a row in ranked.png.', lower_bound=1)
  flags.DEFINE_integer('batch_size', 100, 'Images at once.', lower_bound=1)
  command.define_folder()


def main(values):
  named = {group: getattr(values, group) for group in _GROUPS
           if getattr(values, group) is not None}
  if not named or ('good' in named) != ('bad' in named):
    raise ValueError(
        f'{_flags(named)}: needed are --images, or both --good and --bad, or '
        'all three.')
  config, model = runs.load(values.workdir, values.weights)
  references = _references(
      config, model, values.typical_images, values.background)
  condition = condition_lib.parse(config.data.condition)
  if values.rank_by not in references:
    needed = {'typicality': '--typical_images of at least 2',
              'ratio': '--background'}[values.rank_by]
    raise ValueError(f'--rank_by={values.rank_by} needs {needed}.')
  groups = {group: files.Files(config, folder, model.image_shape)
            for group, folder in named.items()}

  folder = pathlib.Path(values.output or values.workdir)
  folder.mkdir(parents=True, exist_ok=True)
  with open(folder / 'scores.csv', 'w', newline='') as file:
    table = csv.writer(file)
    table.writerow(['group', 'file', *references, 'left_out_because'])
    results = {
        group: _score(model, condition, group, one, references,
                      values.batch_size, table)
        for group, one in groups.items()}
  _tell(named, groups, results)
  every = {method: np.concatenate([
      result[method] for result in results.values()]) for method in references}
  readers = [(one, path) for group, one in groups.items()
             for path in results[group]['paths']]
  ranked(model, condition, readers, every[values.rank_by], values.columns,
         folder / 'ranked.png', config.picture_channels)
  summary = {
      'scores': str(folder / 'scores.csv'),
      'ranked': str(folder / 'ranked.png'),
      'images': {group: len(result['paths'])
                 for group, result in results.items()},
      'left_out': sum(len(one.left_out) for one in groups.values()),
      'median': {group: {method: float(np.median(result[method]))
                         for method in references}
                 for group, result in results.items()},
  }
  if 'good' in named:
    summary['auroc'] = {
        method: auroc(results['good'][method], results['bad'][method])
        for method in references}
  print(json.dumps(summary))


def auroc(good, bad):
  """How well a score tells good images from bad ones.

  Args:
    good: `[N]`, scores of the good ones, which should be lower.
    bad: `[M]`, scores of the bad ones.

  Returns:
    results: `dict` of `'auroc'`, the chance that a bad image has the higher
      score of a pair, and `'low'` and `'high'`, an interval of 95 % for it, by
      a bootstrap over the images of each group.
  """
  def area(good, bad, axis):
    # Mann and Whitney's U counts the pairs; infinite scores are the highest.
    pairs = scipy.stats.mannwhitneyu(
        bad, good, axis=axis, method='asymptotic').statistic
    return pairs / (good.shape[axis] * bad.shape[axis])

  good, bad = np.asarray(good), np.asarray(bad)
  low, high = scipy.stats.bootstrap(
      (good, bad), area, n_resamples=_RESAMPLES, method='percentile',
      rng=np.random.default_rng(0)).confidence_interval
  return {'auroc': float(area(good, bad, 0)), 'low': float(low),
          'high': float(high)}


def ranked(model, condition, readers, scores, columns, path, channels=None):
  """Draws the images with the highest and the lowest scores, and their maps.

  Args:
    model: `FlowModel`.
    condition: `data.condition.Condition`, or `None`.
    readers: Pairs of `files.Files` and the path of an image, `N`.
    scores: `[N]`.
    columns: Python `int`, how many of each at most.
    path: Where to write.
    channels: As of `pictures.visible`. Default value: `None`.
  """
  columns = min(columns, len(readers))
  order = np.argsort(-scores, kind='stable')
  chosen = [*order[:columns], *order[::-1][:columns]]
  images = np.stack([readers[row][0].read(readers[row][1]) for row in chosen])
  maps = tfp_glow.score_map(model, images, **_told(condition, images)).numpy()
  # One scale for all, so that they can be compared.
  finite = maps[np.isfinite(maps)]
  low, high = np.percentile(finite, [1., 99.]) if finite.size else (0., 1.)
  heat = colormaps['inferno'](colors.Normalize(low, high, clip=True)(
      np.nan_to_num(maps, nan=np.inf)))
  heat = np.uint8(np.round(255. * heat[..., :3]))
  colours = np.broadcast_to(pictures.visible(images, channels), heat.shape)
  pictures.save_grid(
      path, [colours[:columns], heat[:columns],
             colours[columns:], heat[columns:]],
      ['most unusual', 'where', 'least unusual', 'where'])


def _references(config, model, typical_images, background):
  """The methods, with what each compares with."""
  references = {'bits_per_dim': None, 'complexity': None}
  if 'label' in model.condition_names:
    raise ValueError(
        'The run has a class-conditional model, which has to be told the '
        'class of each image, and files have none: score with a run that is '
        'not.')
  condition = condition_lib.parse(config.data.condition)
  if condition is not None and condition.is_own:
    raise ValueError(
        f'The run has a model that is told maps ({config.data.condition!r}), '
        'and files have none: score with a run that is told nothing, or '
        "'downsample', 'grey' or 'mask'.")
  if typical_images:
    references['typicality'] = evaluation.typicality(
        config, model, typical_images)
  if background is not None:
    _, references['ratio'] = runs.load(background)
  return references


def _told(condition, images):
  """What a model is told of images, by name."""
  if condition is None:
    return {}
  middle = tf.fill([len(images)], .5)
  return {'feature_map': condition.maps(tf.constant(images), middle, middle)}


def _score(model, condition, group, images, references, batch_size, table):
  """Scores the images of a folder, and writes them down as they come."""
  results = {'paths': [], **{method: [] for method in references}}
  with tqdm.tqdm(total=len(images.paths), desc=f'Scoring {group}',
                 unit=' images') as progress:
    done = 0
    for paths, pixels in images.batches(batch_size):
      if paths:
        scores = scores_lib.score_each(
            model, pixels, references, **_told(condition, pixels))
        # What has no density is the most unusual.
        scores = {method: np.nan_to_num(np.asarray(score, np.float64),
                                        nan=np.inf, posinf=np.inf)
                  for method, score in scores.items()}
        results['paths'] += paths
        for method, score in scores.items():
          results[method].append(score)
        table.writerows(
            [group, path, *row, '']
            for path, row in zip(paths, zip(*scores.values())))
      progress.update(min(batch_size, len(images.paths) - done))
      done = min(done + batch_size, len(images.paths))
  table.writerows([group, path, *[''] * len(references), why]
                  for path, why in images.left_out.items())
  if not results['paths']:
    raise ValueError(
        f'None of the {len(images.paths)} images of --{group} can be read'
        f'{_listed(images.left_out)}')
  return {name: value if name == 'paths' else np.concatenate(value)
          for name, value in results.items()}


def _tell(named, groups, results):
  """Says what was left out or changed, and what has no density."""
  for group, images in groups.items():
    folder = f'--{group}={named[group]}'
    if images.left_out:
      logging.warning('%s: %d left out%s', folder, len(images.left_out),
                      _listed(images.left_out))
    if images.resized:
      logging.warning(
          '%s: %d of %d images had another size than the run and were cut and '
          'resized, which changes how unusual they are.', folder,
          images.resized, len(images.paths))
    images.reading.warn(folder)
    infinite = int(np.sum(np.isinf(results[group]['bits_per_dim'])))
    if infinite:
      logging.warning(
          '%s: %d images have no finite density; their scores are inf, and '
          'they count as the most unusual.', folder, infinite)


def _listed(left_out):
  lines = [f'\n  {path}: {why}' for path, why in left_out.items()]
  more = '\n  ...' if len(lines) > _NUM_LISTED else ''
  return ':' + ''.join(lines[:_NUM_LISTED]) + more


def _flags(named):
  return ' '.join(f'--{group}={folder}' for group, folder in named.items()) or (
      'No folder is given')


if __name__ == '__main__':
  command.run(define_flags, main)
