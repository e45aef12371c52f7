"""Blocks of code in the pages of the documentation, and how they are run."""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import pathlib
import re
import shlex
import shutil
import tempfile
from unittest import mock

from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
# A comment before a block says why it is not run, or which test runs it.
_BLOCK = re.compile(
    r'(?:^<!-- (?P<how>not run: |run by )(?P<why>[^>]+) -->\n+)?'
    r'^```(?P<kind>\w*)\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
# What takes time: code is run with these numbers in place of its own.
_SMALLER = (
    (r'\bsteps=\d+', 'steps=1'), (r'\bwidth=\d+', 'width=4'),
    (r'\blevels=\d+', 'levels=2'), (r'\bhidden_layers=\d+', 'hidden_layers=1'),
    (r'\bresidual_blocks=\d+', 'residual_blocks=1'),
    (r'\bepochs=\d+', 'epochs=1'),
    (r'\((?:32, 32|256, 256), (\d)\)', r'(8, 8, \1)'))


@dataclasses.dataclass(frozen=True)
class Block:
  """A block of code.

  Attributes:
    kind: Python `str`, what follows the backticks.
    code: Python `str`.
    line: Python `int`, lines of the page before its first.
    how: Python `str`, `'not run: '`, `'run by '`, or empty: run as it is.
    why: Python `str`, the reason, or the path of the test.
  """

  kind: str
  code: str
  line: int
  how: str
  why: str


def blocks(page):
  """The blocks of a page, in their order.

  Args:
    page: `pathlib.Path`.

  Returns:
    blocks: List of `Block`.
  """
  text = page.read_text('utf-8')
  return [
      Block(match['kind'], match['code'],
            text[:match.start('code')].count('\n'), match['how'] or '',
            match['why'] or '')
      for match in _BLOCK.finditer(text)]


def smaller(code):
  """Code with what takes time made small."""
  for pattern, replacement in _SMALLER:
    code = re.sub(pattern, replacement, code)
  return code


def run(page, names, changed=smaller):
  """Runs the Python of a page, one block after the other.

  Args:
    page: `pathlib.Path`.
    names: `dict` of what the page takes for given; it gets what blocks define.
    changed: Callable from code to the code that is run.
      Default value: `smaller`.
  """
  for block in blocks(page):
    if block.kind == 'python' and block.how != 'not run: ':
      # A traceback has the line of the page.
      code = '\n' * block.line + changed(block.code)
      exec(compile(code, page, 'exec'), names)


def module(path):
  """Loads a script as a module."""
  spec = importlib.util.spec_from_file_location(path.stem, path)
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  return loaded


def commands(block):
  """The commands of a block of shell, each a list of words."""
  found, begun = [], ''
  for line in re.sub(r'\\\n\s*', ' ', block.code).splitlines():
    begun = f'{begun}\n{line}'
    try:
      words = shlex.split(begun, comments=True)
    except ValueError:  # a quotation goes on in the next line
      continue
    found, begun = found + ([words] if words else []), ''
  return found


def inline_commands(page):
  """The commands within a page's sentences; they may leave flags out."""
  text = re.sub(r'^```.*?^```$', '', page.read_text('utf-8'),
                flags=re.MULTILINE | re.DOTALL)
  return [shlex.split(command) for command in re.findall(
      r'`((?:make|python -m (?:training|benchmarks))[^`]*)`', text)]


def check(words, whole=True):
  """Raises if a command has no such module, flag, target or extra.

  Args:
    words: What `commands` gives.
    whole: Whether nothing that the command needs may be left out.
      Default value: `True`.
  """
  while '=' in words[0]:  # variables of the environment
    words = words[1:]
  name = pathlib.Path(words[0]).name
  if name == 'make':
    _check_make(words[1:])
  elif name == 'python' and words[1] == '-m':
    _check_module(words[2], words[3:], whole)
  elif words[:2] == ['pip', 'install']:
    _check_extras(' '.join(words[2:]))
  else:
    raise ValueError(
        f'{shlex.join(words)!r} is no command that can be checked: say in a '
        'comment before its block why it is not run.')


def _check_make(words):
  makefile = (ROOT / 'Makefile').read_text()
  for word in words:
    name, equals, _ = word.partition('=')
    pattern = rf'^{name} \?=' if equals else rf'^{name}:.*##'
    if not re.search(pattern, makefile, re.MULTILINE):
      raise ValueError(f'The Makefile has no {word}.')


def _check_extras(words):
  setup = (ROOT / 'setup.py').read_text()
  for extras in re.findall(r'\[([\w,]+)\]', words):
    for extra in extras.split(','):
      if f"        '{extra}': " not in setup:
        raise ValueError(f'setup.py has no extra {extra}.')


def _check_module(name, arguments, whole):
  path = ROOT.joinpath(*name.split('.'))
  path = path / '__main__.py' if path.is_dir() else path.with_suffix('.py')
  if name.split('.')[0] not in ('training', 'benchmarks'):
    return  # of another package
  source = path.read_text()
  if 'def define_flags():' in source:
    _parse(name, arguments, whole)
    return
  # Commands of argparse: some share what `benchmarks.command` defines.
  source += (ROOT / 'benchmarks' / 'command.py').read_text()
  for argument in arguments:
    flag = argument.partition('=')[0]
    if flag.startswith('--') and f"'{flag}'" not in source:
      raise ValueError(f'{name} has no flag {flag}.')


def _parse(name, arguments, whole):
  """Parses flags of a command as it does itself; recipes are read."""
  from training import command
  known = set(flags.FLAGS)
  argv = [name, *arguments]
  try:
    importlib.import_module(name).define_flags()
    if not whole:
      unknown = [word for word in arguments if word.startswith('--') and
                 re.split(r'[.=]', word[2:])[0] not in ['help', *flags.FLAGS]]
      if unknown:
        raise ValueError(f'{name} has no flag {unknown[0]}.')
      return
    with mock.patch('sys.argv', argv):
      command.check_recipe(argv)
      unknown = flags.FLAGS(argv)[1:]
    if unknown:
      raise ValueError(f'{name} takes no {unknown}.')
  finally:
    for flag in set(flags.FLAGS) - known:
      delattr(flags.FLAGS, flag)


def main(argv=None):
  """Runs the code of a page as it stands, and keeps the pictures it draws.

  `python -m tests.documentation docs/index.md docs/start` is how the pictures
  of that page were made.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.
  """
  parser = argparse.ArgumentParser(
      prog='python -m tests.documentation',
      description='Runs the code of a page, and keeps the pictures it draws.')
  parser.add_argument('page', type=pathlib.Path)
  parser.add_argument('folder', type=pathlib.Path)
  args = parser.parse_args(argv)
  page, folder = args.page.resolve(), args.folder.resolve()
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory() as scratch:
    with contextlib.chdir(scratch):
      run(page, {}, changed=lambda code: code)
    for picture in pathlib.Path(scratch).glob('*.png'):
      shutil.copy(picture, folder)


if __name__ == '__main__':
  main()
