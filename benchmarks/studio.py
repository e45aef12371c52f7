"""How long the page takes to answer, in a browser, from input to picture.

```shell
python -m benchmarks.studio [--steps 8] [--width 64] [--rounds 21]
                            [--json FILE]
```

serves the page for a Glow of 3 levels for images of 32x32x3, whose weights are
random, and moves its sliders in Chromium. A time is from the moment when one
moves to that when the new picture has been loaded: the model, the server and
the browser, all on this machine.
"""

import json
import tempfile

import numpy as np

from benchmarks import command
from benchmarks import serving
import tfp_glow
from training.studio import page
from training.studio import screenshots
from training.studio import served

GOAL = .3  # seconds
# Tab, slider, between which values it goes, and the picture that changes.
MOVES = (
    ('Make', 'Temperature of all levels', (.6, .8), 'grid'),
    ('Change', 'a', (1., 2.), 'changed'),
    ('Mix', 'From first to second', (.3, .7), 'mixed'),
    ('Judge', 'Temperature of what is drawn', (.6, .8), 'levels'),
)
_MOVE = """([label, value, name]) => new Promise((resolve) => {
  const source = () => document.querySelector(`#${name} img`);
  const before = source().src;
  const start = performance.now();
  const slider = [...document.querySelectorAll(
      `[aria-label="range slider for ${label}"]`)].find(
      (input) => input.offsetParent);
  slider.value = value;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  const look = () => {
    if (source()?.complete && source().src !== before) {
      resolve(performance.now() - start);
    } else {
      requestAnimationFrame(look);
    }
  };
  look();
})"""


def measure(path, rounds):
  """Yields the times of each tab.

  Args:
    path: An export that has an attribute `a`.
    rounds: Python `int`, how often each slider is moved.

  Yields:
    tab: Python `str`.
    seconds: Array `[rounds]`.
  """
  studio = page.Page(served.Model(path))
  url = studio.launch(block=False)
  with screenshots.browser() as chromium:
    shown = screenshots.open_page(chromium, url)
    for tab, label, values, name in MOVES:
      screenshots.open_tab(shown, tab)
      shown.wait_for_selector(f'#{name} img')
      screenshots.settle(shown)
      seconds = []
      for i in range(rounds):
        seconds.append(1e-3 * shown.evaluate(
            _MOVE, [label, values[i % 2], name]))
        shown.wait_for_timeout(100)
      yield tab, np.array(seconds)
  studio.blocks.close()


def main(argv=None):
  """Prints a table.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0`.
  """
  parser = command.parser('benchmarks.studio', __doc__)
  parser.add_argument('--steps', type=int, default=8,
                      help='steps of flow in each level; default: 8')
  parser.add_argument('--width', type=int, default=64,
                      help='channels in the networks; default: 64')
  parser.add_argument('--rounds', type=int, default=21, help='default: 21')
  command.add_json(parser)
  args = parser.parse_args(argv)
  model = serving.make_model(args.steps, args.width)
  direction = np.random.default_rng(0).normal(0., .3, model.num_dims)
  examples = np.random.default_rng(0).integers(
      0, 256, [8, *serving.SHAPE], np.uint8)
  figures = {}
  with tempfile.TemporaryDirectory() as folder:
    path = tfp_glow.export_saved_model(
        model, folder, {'a': direction}, examples)
    print(f'{"tab":<8} {"median":>8} {"slowest":>8}   goal {GOAL} s')
    for tab, seconds in measure(path, args.rounds):
      figures[tab] = {'median': float(np.median(seconds)),
                      'slowest': float(seconds.max())}
      print(f'{tab:<8} {figures[tab]["median"]:>6.3f} s '
            f'{figures[tab]["slowest"]:>6.3f} s', flush=True)
  if args.json is not None:
    args.json.write_text(json.dumps(
        {'rounds': args.rounds, 'seconds': figures}, indent=2) + '\n')
  return 0


if __name__ == '__main__':
  main()
