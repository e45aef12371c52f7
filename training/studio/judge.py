"""The tab that says what a model thinks of a picture."""

import gradio as gr
import numpy as np

from training.studio import chooser
from training.studio import files
from training.studio import pictures

_ROWS = 3


class Judge:
  """Bits/dim beside held-out images, the way back, and what levels hold."""

  def __init__(self, model):
    """Makes the components, in the context that is open.

    Args:
      model: `served.Model`.
    """
    self._model = model
    self._held_out = None
    if model.num_examples:
      images, labels = model.examples(np.arange(model.num_examples))
      self._held_out = model.bits_per_dim(images, labels)
    with gr.Row():
      with gr.Column(min_width=280):
        label = chooser.label_menu(model)
        self.chooser = chooser.Chooser(model, label, 'Judged')
      with gr.Column(min_width=280):
        verdict = gr.Markdown(elem_id='verdict')
        histogram = gr.HTML(elem_id='histogram')
        returned = gr.Markdown(elem_id='returned')
    with gr.Row():
      with gr.Column(min_width=280):
        gr.Markdown('### What the levels hold')
        gr.Markdown(
            f'The picture, then {_ROWS} times with levels drawn anew: '
            f'{_described(model.num_levels)}.')
        temperature = gr.Slider(
            0., 1.5, .7, step=.05, label='Temperature of what is drawn')
        again = gr.Button('Draw again')
      with gr.Column(scale=2, min_width=320):
        anew = gr.Image(
            alt_text='levels drawn anew', show_label=False, format='png',
            buttons=[], interactive=False, elem_id='levels',
            elem_classes='pixels')
        says = gr.Markdown(elem_id='levels-says')

    seed = gr.State(0)
    drawn = [self.chooser.image, label, temperature, seed]
    changes = [self.chooser.image.change]
    if model.num_classes:
      changes.append(label.change)
    quick = {'trigger_mode': 'always_last', 'show_progress': 'hidden'}
    gr.on(changes, self._judge, [self.chooser.image, label],
          [verdict, histogram, returned], **quick)
    gr.on([*changes, temperature.input], self._levels, drawn, [anew, says],
          **quick)
    again.click(lambda n: n + 1, seed, seed).then(
        self._levels, drawn, [anew, says], **quick)

  def _judge(self, image, label):
    if image is None:
      return '', '', ''
    bits = float(self._model.bits_per_dim(image[None], label)[0])
    verdict, histogram = f'### {bits:.3f} bits/dim\n', ''
    if self._held_out is None:
      verdict += (
          'This export has no held-out images to compare with: '
          '`python -m training.export --examples=128` stores some.')
    elif not np.isfinite(bits):
      verdict += 'The flow broke down on this picture.'
    else:
      worse = np.mean(self._held_out > bits)
      verdict += (f'Likelier than {worse:.0%} of {len(self._held_out)} '
                  'held-out images (fewer bits: likelier).')
      histogram = pictures.histogram(
          self._held_out, bits, 'bits/dim of held-out images')
    return verdict, histogram, self._way_back(image, label)

  def _way_back(self, image, label):
    back = self._model.come_back(image[None], label)
    if not back.finite[0]:
      return '**It does not come back**: the flow broke down.'
    # Glow's program gives 255 for all that is beyond the last bin.
    wrong = np.any(self._model.bins(back.images[0]) != self._model.bins(image),
                   axis=-1)
    if not wrong.any():
      return ('**It comes back exactly**: encoded and decoded, every pixel '
              'is what it was.')
    return (f'**It does not come back**: encoded and decoded, {wrong.sum()} '
            f'of {wrong.size} pixels are others.')

  def _levels(self, image, label, temperature, seed):
    if image is None:
      return None, ''
    count = self._model.num_levels
    levels = np.tile(np.tri(count, dtype=bool), [_ROWS, 1])
    seeds = [[seed, row] for row in range(_ROWS) for _ in range(count)]
    shown = self._model.resample(image, levels, seeds, temperature, label)
    rows = shown.images.reshape(_ROWS, count, *image.shape)
    first = np.tile(image, [_ROWS, 1, 1, 1, 1])
    images = np.concatenate([first, rows], axis=1)
    grid = pictures.grid(images.reshape(-1, *image.shape), 1 + count)
    return files.png(grid), shown.complaint()


def _described(num_levels):
  if num_levels == 1:
    return 'the one level that there is'
  return (f'of the finest detail alone (level 0), '
          f'{"then of one more at a time, " if num_levels > 2 else ""}'
          'and all of them')
