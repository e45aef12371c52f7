"""A part of the page where one picture is chosen."""

import gradio as gr

from training.studio import files
from training.studio import pictures
from training.studio import uploads

_TEMPERATURE = .7


class Chooser:
  """A picture that is drawn, from the data, or someone's own.

  Attributes:
    image: `gr.State` of uint8 `[H, W, C]`; what depends on it hears of its
      `change`.
    label: The component of its class, an empty `gr.State` if there are none.
  """

  def __init__(self, model, label, name, first=0):
    """Makes the components, in the context that is open.

    Args:
      model: `served.Model`.
      label: Component of the class, which is set with the picture.
      name: Python `str`, what stands above the picture.
      first: Python `int`, which example it begins with. Default value: `0`.
    """
    self._model = model
    self._first = first
    self.label = label
    self.image = gr.State(None)
    self._number = gr.State(first)
    self._original = gr.State(None)
    self.view = gr.Image(
        label=name, alt_text=name, format='png', buttons=[],
        interactive=False, height=260, elem_classes='pixels',
        elem_id=_id(name))
    self.message = gr.Markdown(elem_id=_id(name, 'says'))
    with gr.Row():
      draw = gr.Button('Draw one', size='sm', min_width=80)
      if model.num_examples:
        example = gr.Button('From the data', size='sm', min_width=80)
      upload = gr.UploadButton(
          'Your own', size='sm', min_width=80, elem_id=_id(name, 'upload'))
    with gr.Accordion('Crop', open=True, visible=False) as self._cropping:
      crop = [
          gr.Slider(1., 8., 1., step=.1, label='Zoom'),
          gr.Slider(0., 1., .5, step=.01, label='Left to right'),
          gr.Slider(0., 1., .5, step=.01, label='Top to bottom')]

    chosen = [self.image, self._number, label, self._original, self._cropping,
              self.message]
    draw.click(self._draw, [self._number, label], chosen)
    if model.num_examples:
      example.click(self._example, [self._number, label], chosen)
    upload.upload(
        self._upload, upload,
        [self._original, self._cropping, *crop, self.image, self.message])
    gr.on([slider.input for slider in crop], self._crop,
          [self._original, *crop], self.image, trigger_mode='always_last',
          show_progress='hidden')
    self.image.change(shown, self.image, self.view, show_progress='hidden')

  @property
  def outputs(self):
    """The components of `start`."""
    return [self.image, self.label]

  def start(self):
    """The values of `outputs` when a page opens."""
    chosen = (self._example if self._model.num_examples else self._draw)(
        self._first - 1, 0 if self._model.num_classes else None)
    return chosen[0], chosen[2]

  def taken(self):
    """The values of the rest when a picture comes from elsewhere."""
    return [None, gr.update(visible=False), '']

  @property
  def rest(self):
    """The components of `taken`."""
    return [self._original, self._cropping, self.message]

  def _draw(self, number, label):
    number += 1
    drawn = self._model.sample(
        [[number, self._first]], [_TEMPERATURE] * self._model.num_levels, label)
    if not drawn.finite.all():
      return [gr.skip(), number, label, *self.taken()[:2], drawn.complaint()]
    return [drawn.images[0], number, label, *self.taken()]

  def _example(self, number, label):
    number = (number + 1) % self._model.num_examples
    images, labels = self._model.examples([number])
    if labels is not None:
      label = int(labels[0])
    return [images[0], number, label, *self.taken()]

  def _upload(self, path):
    try:
      pixels = uploads.read(path)
    except uploads.BadUpload as refused:
      return [*[gr.skip()] * 6, f'**{refused}**']
    height, width, channels = self._model.image_shape
    says = (f'Your picture, cut to {width} x {height} pixels'
            f'{" of grey" if channels == 1 else ""}'
            f'{self._bits()}.')
    return [pixels, gr.update(visible=True), 1., .5, .5,
            self._crop(pixels), says]

  def _crop(self, pixels, *crop):
    if pixels is None:
      return gr.skip()
    return self._model.bins(
        uploads.crop(pixels, self._model.image_shape, *crop))

  def _bits(self):
    bits = self._model.num_bits
    return f', {bits} bits each' if bits < 8 else ''


def label_menu(model, name='Class'):
  """A menu of classes, or an empty state where there are none."""
  if not model.num_classes:
    return gr.State(None)
  return gr.Dropdown(
      [(str(n), n) for n in range(model.num_classes)], value=0, label=name)


def shown(image):
  """The file of an image, enlarged."""
  return None if image is None else files.png(pictures.enlarge(image))


def one(answer):
  """A file and a sentence of `served.Pictures` that has one image."""
  return shown(answer.images[0]), answer.complaint()


def _id(*words):
  return '-'.join(words).lower().replace(' ', '-')
