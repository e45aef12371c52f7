"""What MkDocs does besides: pages of the source files that pages link to.

A page of `docs/` links to a file of the repository by its path,
`../tfp_glow/flows/glow.py`, so that the link also works where the page is read
unbuilt. The site has a page of its own for each of these files. A link to a
file that is not there is left as it is, for MkDocs to refuse.
"""

import pathlib
import posixpath
import re

from mkdocs.structure import files as files_lib

_ROOT = pathlib.Path(__file__).parents[1]
_LINK = re.compile(r'\]\(((?:\.\./)+[^)#\s]+\.(?:py|c))\)')
_LANGUAGES = {'.py': 'python', '.c': 'c'}


def on_files(files, config):
  """Adds a page for each file that is linked to."""
  for page in list(files.documentation_pages()):
    for link in _LINK.findall(page.content_string):
      path = _path(page, link)
      if (_ROOT / path).is_file() and not files.get_file_from_path(
          _source(path)):
        files.append(files_lib.File.generated(
            config, _source(path), content=_content(path)))
  return files


def on_page_markdown(markdown, page, config, files):
  """Points links to files at their pages."""
  def replaced(match):
    source = _source(_path(page.file, match[1]))
    if not files.get_file_from_path(source):
      return match[0]
    folder = posixpath.dirname(page.file.src_uri)
    return f']({posixpath.relpath(source, folder or ".")})'

  return _LINK.sub(replaced, markdown)


def _path(page, link):
  """Path of what a page links to, from the repository's root."""
  return posixpath.normpath(posixpath.join(
      'docs', posixpath.dirname(page.src_uri), link))


def _source(path):
  return f'source/{path}.md'


def _content(path):
  code = (_ROOT / path).read_text()
  language = _LANGUAGES[posixpath.splitext(path)[1]]
  return f'# {path}\n\n`````{language}\n{code}`````\n'
