"""The page: its tabs, what leads from one to another, and its server."""

import gradio as gr

from training.studio import change
from training.studio import judge
from training.studio import make
from training.studio import mix

_QUEUE = 64
_SESSIONS = 100
# Gradio refuses larger files while they come; smaller ones get a sentence.
_MAX_UPLOAD = 32 * 2**20
_CSS = '.pixels img { image-rendering: pixelated; }'
# Files that pages have shown: how often old ones go, and at what age.
_CLEANING = (300, 3600)  # seconds


class Page:
  """A page for one model."""

  def __init__(self, model):
    """Makes the components.

    Args:
      model: `served.Model`.
    """
    with gr.Blocks(title='tfp_glow studio', analytics_enabled=False,
                   delete_cache=_CLEANING) as self.blocks:
      gr.Markdown(_heading(model))
      with gr.Tabs() as tabs:
        with gr.Tab('Make', id='make'):
          made = make.Make(model)
        with gr.Tab('Change', id='change', render_children=True):
          changed = change.Change(model)
        with gr.Tab('Mix', id='mix', render_children=True):
          mixed = mix.Mix(model)
        with gr.Tab('Judge', id='judge', render_children=True):
          judged = judge.Judge(model)
      choosers = [changed.chooser, mixed.first, mixed.second, judged.chooser]
      for button, tab, chooser in zip(
          [made.to_change, made.to_mix_a, made.to_mix_b, made.to_judge],
          ['change', 'mix', 'mix', 'judge'], choosers):
        button.click(
            _taken_on(tab, chooser), [made.image, made.label],
            [tabs, chooser.image, chooser.label, *chooser.rest])
      # At once, so that nothing is computed of half of it.
      starting = [made, *choosers]
      self.blocks.load(
          lambda: [value for part in starting for value in part.start()],
          None, [output for part in starting for output in part.outputs])
    for event in self.blocks.fns.values():
      event.api_visibility = 'private'
    self.blocks.queue(max_size=_QUEUE, default_concurrency_limit=2)

  def launch(self, host='127.0.0.1', port=None, block=True):
    """Serves the page.

    Args:
      host: Python `str`, the address to listen on.
        Default value: `'127.0.0.1'`.
      port: Python `int`. Default value: `None`, a free one from 7860 on.
      block: Python `bool`, whether to stay until interrupted.
        Default value: `True`.

    Returns:
      url: Python `str`.
    """
    _, url, _ = self.blocks.launch(
        server_name=host, server_port=port, share=False, quiet=not block,
        prevent_thread_lock=not block, show_error=True, footer_links=[],
        run_history=False, enable_monitoring=False, pwa=False, ssr_mode=False,
        mcp_server=False, max_file_size=_MAX_UPLOAD,
        state_session_capacity=_SESSIONS, theme=gr.themes.Default(), css=_CSS)
    return url


def _taken_on(tab, chooser):
  return lambda image, label: [
      gr.Tabs(selected=tab), image, label, *chooser.taken()]


def _heading(model):
  height, width, channels = model.image_shape
  return (f'# tfp_glow studio\n{width} x {height} pixels, '
          f'{"colour" if channels == 3 else "grey"}, {model.num_bits} bits; '
          f'levels: {model.num_levels}; `{model.path}`')
