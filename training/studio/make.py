"""The tab where new pictures are drawn."""

import gradio as gr
import numpy as np

from training.studio import chooser
from training.studio import files
from training.studio import pictures

_COLUMNS, _ROWS = 6, 4
_COUNT = _COLUMNS * _ROWS


class Make:
  """Draws a grid of pictures; one that is clicked is taken to other tabs."""

  def __init__(self, model):
    """Makes the components, in the context that is open.

    Args:
      model: `served.Model`.
    """
    self._model = model
    self._grid = gr.State(None)
    self.image = gr.State(None)
    self.label = gr.State(None)
    with gr.Row():
      with gr.Column(scale=1, min_width=280):
        self._seed = gr.Number(0, label='Seed', precision=0, minimum=0,
                               maximum=2**31 - 1, elem_id='seed')
        another = gr.Button('Another seed', variant='primary')
        if model.num_classes:
          self._menu = gr.Dropdown(
              [('each in turn', -1)] + [
                  (str(n), n) for n in range(model.num_classes)],
              value=-1, label='Class')
        else:
          self._menu = gr.State(-1)
        overall = gr.Slider(
            0., 2., .7, step=.05, label='Temperature of all levels',
            info='lower: likelier and less varied')
        self._levels = []
        if model.num_levels > 1:
          with gr.Accordion('Temperature of each level', open=True):
            self._levels = [
                gr.Slider(0., 2., .7, step=.05, label=_level_name(
                    level, model.num_levels))
                for level in range(model.num_levels)]
      with gr.Column(scale=3, min_width=320):
        gr.Markdown('New pictures. Click one to take it on.')
        self._view = gr.Image(
            alt_text='new pictures', show_label=False, format='png',
            buttons=[], interactive=False, elem_id='grid',
            elem_classes='pixels')
        self._says = gr.Markdown(elem_id='grid-says')
        with gr.Row(visible=False) as self._onward:
          self.chosen = gr.Image(
              alt_text='the chosen one', show_label=False, format='png',
              buttons=[], interactive=False, height=208, elem_id='chosen',
              elem_classes='pixels')
          with gr.Column(min_width=160):
            self.to_change = gr.Button('Change it')
            self.to_mix_a = gr.Button('Mix it, as the first')
            self.to_mix_b = gr.Button('Mix it, as the second')
            self.to_judge = gr.Button('Judge it')

    inputs = [self._seed, self._menu, *(self._levels or [overall])]
    shown = [self._view, self._grid, self._says]
    another.click(_another, self._seed, self._seed).then(
        self._draw, inputs, shown)
    live = [self._seed.input, *(slider.input for slider in self._levels)]
    if model.num_classes:
      live.append(self._menu.input)
    gr.on(live, self._draw, inputs, shown, trigger_mode='always_last',
          show_progress='hidden')
    overall.input(
        self._draw_alike, [self._seed, self._menu, overall],
        [*shown, *self._levels], trigger_mode='always_last',
        show_progress='hidden')
    self._view.select(
        self._choose, [self._grid, self._menu],
        [self.image, self.label, self.chosen, self._onward])
    self.outputs = shown

  def start(self):
    """The values of `outputs` when a page opens."""
    return self._draw(0, -1, *[.7] * max(1, len(self._levels)))

  def _draw(self, seed, label, *temperatures):
    seeds = [[int(seed or 0), number] for number in range(_COUNT)]
    drawn = self._model.sample(
        seeds, temperatures, _labels(self._model, label))
    picture = pictures.grid(drawn.images, _COLUMNS)
    return files.png(picture), drawn, drawn.complaint()

  def _draw_alike(self, seed, label, temperature):
    alike = [temperature] * self._model.num_levels
    return [*self._draw(seed, label, *alike), *alike[:len(self._levels)]]

  def _choose(self, drawn, label, event: gr.SelectData):
    number = pictures.cell_at(
        *event.index, self._model.image_shape, _COLUMNS)
    if number >= _COUNT or not drawn.finite[number]:
      return [gr.skip()] * 4
    image = drawn.images[number]
    labels = _labels(self._model, label)
    return (image, None if labels is None else int(labels[number]),
            chooser.shown(image), gr.update(visible=True))


def _another(seed):
  return (int(seed or 0) + 1) % 2**31


def _labels(model, label):
  if not model.num_classes:
    return None
  if label < 0:
    return np.arange(_COUNT) % model.num_classes
  return np.full(_COUNT, label)


def _level_name(level, num_levels):
  kinds = {0: ', the finest detail', num_levels - 1: ', the coarsest'}
  return f'Level {level}{kinds.get(level, "")}'
