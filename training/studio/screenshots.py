"""Takes a picture of each tab of the page, in a wide and a narrow window.

For example

    python -m training.studio.screenshots

writes docs/images/studio_make.png, studio_make_narrow.png and so on. It needs
Playwright and Chromium (`apt-get install chromium`).
"""

import argparse
import contextlib
import pathlib
import shutil
import tempfile

from training.studio import page
from training.studio import served

TABS = ('Make', 'Change', 'Mix', 'Judge')
_WIDTHS = {'': 1280, '_narrow': 420}
_FLAGS = ('--no-sandbox', '--disable-gpu', '--disable-background-networking')


@contextlib.contextmanager
def browser():
  """Debian's Chromium, driven by Playwright.

  Yields:
    browser: Playwright's `Browser`.

  Raises:
    FileNotFoundError: If there is no Chromium.
  """
  # Only this module needs it, and tests do.
  from playwright import sync_api
  program = shutil.which('chromium')
  if program is None:
    raise FileNotFoundError(
        'There is no Chromium: `apt-get install chromium` brings it.')
  with sync_api.sync_playwright() as playwright:
    chromium = playwright.chromium.launch(
        executable_path=program, args=list(_FLAGS))
    yield chromium
    chromium.close()


def open_page(chromium, url, width=1280):
  """Opens the page, and waits for its first pictures.

  Args:
    chromium: What `browser` yields.
    url: Python `str`.
    width: Python `int`, of the window. Default value: `1280`.

  Returns:
    page: Playwright's `Page`.
  """
  shown = chromium.new_page(viewport={'width': width, 'height': 900})
  shown.goto(url)
  shown.wait_for_selector('#grid img')
  return shown


def open_tab(shown, name):
  """Opens a tab of the page, of which narrow windows have some in a menu."""
  tab = shown.get_by_role('tab', name=name, exact=True)
  if not tab.first.is_visible():
    shown.locator('.overflow-menu > button').first.click()
    shown.locator('.overflow-dropdown button', has_text=name).click()
    return
  tab.first.click()


def settle(shown):
  """Waits until pictures have come and what fades in is there.

  Not for a network that is idle: Gradio keeps a connection open.
  """
  shown.wait_for_timeout(1000)
  shown.wait_for_function(
      '[...document.images].every((image) => image.complete)')


def _move_sliders(shown):
  """Moves the first attribute's slider, so that there is something to see."""
  sliders = shown.locator('input[type=range]:visible')
  if sliders.count():
    sliders.first.fill('2')


def main(argv=None):
  """Takes the pictures.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.
  """
  parser = argparse.ArgumentParser(
      prog='python -m training.studio.screenshots',
      description=__doc__.split('\n\n')[0])
  parser.add_argument('--model', metavar='DIR',
                      help='an export, or the folder of its versions; by '
                      'default the faces that come with the package')
  parser.add_argument('--output', type=pathlib.Path, metavar='DIR',
                      default=pathlib.Path('docs/images'))
  args = parser.parse_args(argv)
  args.output.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory() as folder:
    studio = page.Page(served.Model(args.model or served.faces(folder)))
  url = studio.launch(block=False)
  with browser() as chromium:
    for suffix, width in _WIDTHS.items():
      shown = open_page(chromium, url, width)
      for tab in TABS:
        open_tab(shown, tab)
        settle(shown)
        if tab == 'Change':
          _move_sliders(shown)
          settle(shown)
        path = args.output / f'studio_{tab.lower()}{suffix}.png'
        shown.screenshot(path=path, full_page=True)
        print(path)
  studio.blocks.close()


if __name__ == '__main__':
  main()
