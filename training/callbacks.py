"""What happens beside the steps of training."""

import pathlib
import time

from absl import logging
import keras
import numpy as np
import tensorflow as tf
import tqdm

from training import evaluation
from training import metrics
from training import pictures
from training import runs
from training import stability

_COLUMNS = 8
# For how many images and samples the growth of a small change is measured.
_AMPLIFIED = 8
# How often a step is waited for to see whether it was finite.
_STEPS_BETWEEN_LOOKS = 10
_ADVICE = """\
{count} steps in a row were not finite, so that training has stopped at step \
{step}. The weights are those of the last finite step; the last checkpoint is \
of step {checkpoint}. What helps, most often first: a lower \
`optimizer.learning_rate`, gradients clipped harder (`optimizer.clip`), a \
longer warm-up (`optimizer.warmup_images`), initialisation from more images \
(`initial_images`), networks in float32 (`model.mixed_bfloat16`), and a look \
at the data for images of one colour."""


class NotFiniteError(RuntimeError):
  """Too many steps in a row were not finite."""


class Counting(keras.callbacks.Callback):
  """Knows which step has been trained, however often `fit` is called."""

  def __init__(self, step):
    """Takes how many steps have been trained."""
    super().__init__()
    self.step = step

  def on_train_batch_end(self, batch, logs=None):
    self.step += 1


class Progress(keras.callbacks.Callback):
  """A bar with bits/dim, images per second and the time left.

  Where nobody looks, as in a log file, there is none.
  """

  def __init__(self, step, steps, batch_size):
    super().__init__()
    self._bar = tqdm.tqdm(
        total=steps * batch_size, initial=step * batch_size, unit=' images',
        dynamic_ncols=True, mininterval=.5, smoothing=.05, disable=None)
    self._batch_size = batch_size

  def on_train_batch_end(self, batch, logs=None):
    # `update` says whether it has drawn; values are fetched only then.
    if self._bar.update(self._batch_size):
      self._bar.set_postfix_str(
          f'{float(logs["bits_per_dim"]):.3f} bits/dim', refresh=False)

  def close(self):
    self._bar.close()


class StopWhenNotFinite(Counting):
  """Logs steps that were skipped, and stops when there are too many."""

  def __init__(self, step, max_in_a_row, checkpoint):
    """Takes where training starts.

    Args:
      step: Python `int`, steps that have been trained.
      max_in_a_row: Python `int`, how many may be skipped in a row.
      checkpoint: Callable that returns the step of the last checkpoint.
    """
    super().__init__(step)
    self._max_in_a_row = max_in_a_row
    self._checkpoint = checkpoint

  def on_train_begin(self, logs=None):
    self._skipped = int(self.model.skipped_steps.numpy())

  def on_train_batch_end(self, batch, logs=None):
    super().on_train_batch_end(batch, logs)
    if self.step % _STEPS_BETWEEN_LOOKS == 0:
      self._look()

  def on_epoch_end(self, epoch, logs=None):
    self._look()

  def _look(self):
    skipped = int(self.model.skipped_steps.numpy())
    if skipped > self._skipped:
      logging.warning(
          '%d of the steps before step %d were not finite and were skipped, '
          '%d in all.', skipped - self._skipped, self.step, skipped)
    self._skipped = skipped
    in_a_row = int(self.model.skipped_in_a_row.numpy())
    if in_a_row > self._max_in_a_row:
      raise NotFiniteError(_ADVICE.format(
          count=in_a_row, step=self.step, checkpoint=self._checkpoint()))


class Evaluate(Counting):
  """Measures and draws the model as training goes on.

  Nothing is written before the first step has been trained, so that a run that
  fails before leaves the working folder as it was.
  """

  def __init__(self, config, data, workdir, step, recipe):
    """Takes what is evaluated on and where results go.

    Args:
      config: The fields of `config.get_config`.
      data: `data.Data`.
      workdir: Python `str`, the working folder.
      step: Python `int`, steps that have been trained.
      recipe: What `runs.as_recipe` returns.
    """
    super().__init__(step)
    self._config = config
    self._data = data
    self._workdir = workdir
    self._recipe = recipe
    self._log = None
    self._start_step = step
    self._results = []
    self._folder = pathlib.Path(workdir) / 'pictures'

  def set_model(self, model):
    # A run is several fits of one model; its graphs are traced once.
    if self.model is not model:
      self._stability = stability.Stability(model, self._config.batch_size)
    super().set_model(model)

  def on_train_begin(self, logs=None):
    if self.step == 0:
      self._results.append(self._evaluate(0))

  def on_train_batch_end(self, batch, logs=None):
    super().on_train_batch_end(batch, logs)
    if self._log is None:
      runs.write_recipe(self._workdir, self._recipe)
      self._folder.mkdir(exist_ok=True)
      self._log = metrics.Log(self._workdir, self._start_step)
      for scalars, grids in self._results:
        self._write(self._start_step, scalars, grids)

  def on_epoch_begin(self, epoch, logs=None):
    self._start = time.monotonic()
    self._first_step = self.step

  def on_epoch_end(self, epoch, logs=None):
    steps = self.step - self._first_step
    seconds = time.monotonic() - self._start
    scalars = {
        'train_bits_per_dim': logs['bits_per_dim'],
        'train_loss': logs['loss'],
        'images_per_second': steps * self._config.batch_size / seconds,
        'learning_rate': float(self.model.optimizer.learning_rate),
        'skipped_steps': int(self.model.skipped_steps.numpy()),
    }
    step, grids = self.step, ()
    if step % self._config.eval_every == 0 or step >= self._config.steps:
      with runs.evaluated_weights(self.model):
        evaluated, grids = self._evaluate(step)
      scalars.update(evaluated)
    self._write(step, scalars, grids)

  def _write(self, step, scalars, grids):
    for name, rows, names in grids:
      path = self._folder / f'{name}_{step:07d}.png'
      pictures.save_grid(path, np.stack(rows), names,
                         channels=self._config.picture_channels)
      self._log.image(step, name, path)
    self._log.scalars(step, scalars)

  def _evaluate(self, step):
    """Measures and draws: scalars, and names, rows and labels of grids."""
    batch_size = self._config.batch_size
    batches = self._data.eval_batches(batch_size, self._config.eval_images)
    bits = evaluation.bits_per_dim(self.model, batches)
    mean, error = evaluation.mean_and_error(bits)
    # The first batch may be of one class; this one is spread over all.
    images, conditions = evaluation.unpack(self.model, next(iter(
        self._data.eval_batches(batch_size, batch_size))))
    tqdm.tqdm.write(
        f'Step {step}: {evaluation.as_text(mean, error)} bits/dim on '
        f'{len(bits):,} image{"s" if len(bits) > 1 else ""}.')
    scalars = {
        'eval_bits_per_dim': mean,
        'eval_bits_per_dim_error': error,
        **evaluation.latent_statistics(self.model, images, **conditions),
        **self._measure_stability(images, conditions),
    }
    return scalars, [('samples', *self._draw_samples(images, conditions)),
                     ('reconstructions',
                      *self._draw_reconstructions(images, conditions))]

  def _measure_stability(self, images, conditions):
    """How many samples are finite, and what a small change grows by."""
    measured, seed = self._stability, self._config.seed
    scalars = {}
    for temperature in self._config.temperatures:
      shares = measured.samples(
          self._config.batch_size, temperature, seed, **conditions)
      scalars[f'finite_samples_{temperature:g}'] = 1. - shares['not_finite']
    few = {name: value[:_AMPLIFIED] for name, value in conditions.items()}
    scalars['encode_amplification'] = measured.encode_amplification(
        images[:_AMPLIFIED], **few).max()
    scalars['decode_amplification'] = measured.decode_amplification(
        self.model.sample_latents(_AMPLIFIED, 1., seed), **few).max()
    return scalars

  def _draw_samples(self, images, conditions):
    """The same latents each time, so that one sees them change."""
    temperatures = self._config.temperatures
    if 'feature_map' in conditions:
      few = {k: v[:_COLUMNS] for k, v in conditions.items()}
      names = [f'temperature {temperature:g}' for temperature in temperatures]
      samples = [self.model.sample(
          len(few['feature_map']), temperature, seed=self._config.seed, **few)
                 for temperature in temperatures]
      shown = pictures.of_feature_map(few['feature_map'], images)
      return ([shown, *samples, images[:_COLUMNS]],
              ['condition', *names, 'image'])
    classes = self._data.num_classes
    rows, names = [], []
    for temperature in temperatures:
      label = None
      if 'label' in self.model.condition_names:
        label = np.arange(2 * _COLUMNS) % classes
      samples = self.model.sample(
          2 * _COLUMNS, temperature=temperature, label=label,
          seed=self._config.seed)
      rows.extend(np.split(samples.numpy(), 2))
      names.extend([f'temperature {temperature:g}', ''])
    return rows, names

  def _draw_reconstructions(self, images, conditions):
    rows = np.linspace(0, len(images) - 1, _COLUMNS).astype(int)
    images = tf.gather(images, rows)
    conditions = {k: tf.gather(v, rows) for k, v in conditions.items()}
    latents = self.model.encode(images, **conditions)
    # `decode` refuses what is not finite; a run is not to end for that.
    finite = tf.reduce_all(tf.math.is_finite(latents), axis=1, keepdims=True)
    decoded = self.model.decode(
        tf.where(finite, latents, tf.zeros_like(latents)), **conditions)
    decoded = tf.where(
        finite[..., None, None], decoded, self.model.pixels.broken_image())
    return [images, decoded], ['image', 'decoded']


class SaveCheckpoints(Counting):
  """Writes checkpoints at the ends of Keras's epochs."""

  def __init__(self, checkpoints, step, config):
    """Takes where checkpoints go and when they are due.

    Args:
      checkpoints: `checkpoints.Checkpoints`.
      step: Python `int`, steps that have been trained.
      config: The fields of `config.get_config`.
    """
    super().__init__(step)
    self._checkpoints = checkpoints
    self._config = config
    self.error = None

  def on_epoch_end(self, epoch, logs=None):
    step = self.step
    if step % self._config.checkpoint_every and step < self._config.steps:
      return
    self.error = self._checkpoints.save(step)
    if self.error is not None:
      kept = self._checkpoints.steps()
      logging.error(
          'No checkpoint could be written at step %d; the last good one is '
          'that of step %s. Training goes on. %s', step,
          kept[-1] if kept else 'none', self.error)

