"""The tab where two pictures are mixed."""

import gradio as gr
import numpy as np

from training.studio import chooser
from training.studio import files
from training.studio import pictures

_FRAMES = 15
_EVERY = 2  # of the frames is in the strip


class Mix:
  """A slider between two pictures, a strip, and both as files."""

  def __init__(self, model):
    """Makes the components, in the context that is open.

    Args:
      model: `served.Model`.
    """
    self._model = model
    label = chooser.label_menu(model, 'Class of both')
    with gr.Row():
      with gr.Column(min_width=220):
        self.first = chooser.Chooser(model, label, 'First')
      with gr.Column(min_width=220):
        mixed = gr.Image(
            label='Mixed', alt_text='mixed', format='png',
            buttons=['download'], height=260, interactive=False,
            elem_id='mixed', elem_classes='pixels')
        weight = gr.Slider(0., 1., .5, step=.01, label='From first to second')
        path = gr.Radio(
            [('line', False), ('arc', True)], value=False,
            label='Along a', info='on an arc, latents keep their length')
      with gr.Column(min_width=220):
        self.second = chooser.Chooser(model, label, 'Second', first=1)
    gr.Markdown('From the first to the second, step by step:')
    strip = gr.Image(
        alt_text='strip', show_label=False, format='png', buttons=[],
        interactive=False, elem_id='strip', elem_classes='pixels')
    says = gr.Markdown(elem_id='mixed-says')
    with gr.Row():
      gif = gr.DownloadButton('Download as GIF', elem_id='gif')
      png = gr.DownloadButton('Download as PNG', elem_id='png')

    ends = [self.first.image, self.second.image, label, path]
    changes = [self.first.image.change, self.second.image.change, path.change]
    if model.num_classes:
      changes.append(label.change)
    gr.on(changes, self._strip, ends, [strip, says, gif, png],
          trigger_mode='always_last', show_progress='hidden')
    gr.on([*changes, weight.input], self._mix, [*ends, weight], mixed,
          trigger_mode='always_last', show_progress='hidden')

  def _mix(self, a, b, label, on_arc, weight):
    if a is None or b is None:
      return None
    return chooser.one(
        self._model.between(a, b, [weight], on_arc, label))[0]

  def _strip(self, a, b, label, on_arc):
    if a is None or b is None:
      return [gr.skip()] * 4
    weights = np.linspace(0., 1., _FRAMES)
    shown = self._model.between(a, b, weights, on_arc, label)
    images = shown.images[::_EVERY]
    strip = pictures.grid(images, len(images))
    film = files.new_folder() / 'mix.gif'
    pictures.save_gif(film, shown.images)
    still = files.png(strip, 'mix')
    return still, shown.complaint(), str(film), still
