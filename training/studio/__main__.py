"""Opens a page on which one plays with an exported model.

For example

    python -m training.studio --model runs/faces/export

listens on http://127.0.0.1:7860 until interrupted. It needs TensorFlow and the
export, none of the library that wrote it. Without --model it shows the faces
that come with the package.
"""

import argparse
import os
import sys
import tempfile


def main(argv=None):
  """Serves the page.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.
  """
  parser = argparse.ArgumentParser(
      prog='python -m training.studio', description=__doc__.split('\n\n')[0])
  parser.add_argument(
      '--model', metavar='DIR', help='an export, or the folder of its '
      'versions; by default the faces that come with the package')
  parser.add_argument(
      '--host', default='127.0.0.1', help='the address to listen on; by '
      'default the loopback one, which no other machine reaches')
  parser.add_argument('--port', type=int,
                      help='by default the first free one from 7860 on')
  args = parser.parse_args(argv)
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  # After that, and not before --help.
  from training.studio import page
  from training.studio import served
  with tempfile.TemporaryDirectory() as folder:
    try:
      model = served.Model(args.model or served.faces(folder))
    except ValueError as error:
      sys.exit(f'Error: {error}')
    page.Page(model).launch(args.host, args.port)


if __name__ == '__main__':
  main()
