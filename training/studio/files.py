"""Files of what the page shows, for Gradio to copy and serve.

Gradio writes an array to a file that is named by its content, while the same
picture may be on its way to someone from there; files it copies whole.
"""

import functools
import pathlib
import shutil
import tempfile
import time

from PIL import Image

# Gradio copies files in less time than this, and then they can go.
_KEPT_SECONDS = 60.


def png(picture, name='picture'):
  """Writes a picture, uint8 `[H, W, 3]`; returns the path of `<name>.png`."""
  path = new_folder() / f'{name}.png'
  Image.fromarray(picture).save(path)
  return str(path)


def new_folder():
  """Makes a folder for files, and removes those of earlier questions."""
  root = pathlib.Path(_root().name)
  for folder in root.iterdir():
    try:
      if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
        shutil.rmtree(folder)
    except FileNotFoundError:  # Another question has removed it.
      pass
  return pathlib.Path(tempfile.mkdtemp(dir=root))


@functools.cache
def _root():
  return tempfile.TemporaryDirectory()
