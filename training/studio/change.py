"""The tab where a picture's attributes are changed."""

import gradio as gr

from training.studio import chooser

_LARGEST = 3.


class Change:
  """A slider for each attribute, and the picture that comes of them."""

  def __init__(self, model):
    """Makes the components, in the context that is open.

    Args:
      model: `served.Model`.
    """
    self._model = model
    with gr.Row():
      with gr.Column(min_width=280):
        label = chooser.label_menu(model)
        self.chooser = chooser.Chooser(model, label, 'Picture')
      with gr.Column(min_width=280):
        after = gr.Image(
            label='Changed', alt_text='changed', format='png',
            buttons=['download'], height=260, interactive=False,
            elem_id='changed', elem_classes='pixels')
        says = gr.Markdown(elem_id='changed-says')
        if not model.attributes:
          gr.Markdown(
              'This model has no attributes. `python -m training.manipulate` '
              'finds directions, and `python -m training.export --direction` '
              'stores them with a model.')
        sliders = [
            gr.Slider(-_LARGEST, _LARGEST, 0., step=.1, label=name)
            for name in model.attributes]
        reset = gr.Button('Reset', visible=bool(sliders))

    inputs = [self.chooser.image, label, *sliders]
    quick = {'trigger_mode': 'always_last', 'show_progress': 'hidden'}
    changes = [self.chooser.image.change]
    changes += [slider.input for slider in sliders]
    if model.num_classes:
      changes.append(label.change)
    gr.on(changes, self._change, inputs, [after, says], **quick)
    reset.click(lambda: [0.] * len(sliders), None, sliders).then(
        self._change, inputs, [after, says], **quick)

  def _change(self, image, label, *strengths):
    if image is None:
      return None, ''
    if not strengths:
      return chooser.one(self._model.come_back(image[None], label))
    return chooser.one(self._model.change(image, strengths, label))
