"""Makes the examples of docstrings code, as mkdocstrings reads them.

In a docstring an example is written as `>>> call()` and what it gives, which
Markdown would take for a quotation.
"""

import re

import griffe

_EXAMPLE = re.compile(r'^>>> .*\n(?:.*\S.*\n?)*', re.MULTILINE)


class Examples(griffe.Extension):
  """Puts a fence around each."""

  def on_object(self, *, obj, **kwargs):
    if obj.docstring:
      obj.docstring.value = _EXAMPLE.sub(
          lambda match: f'```pycon\n{match[0].rstrip()}\n```\n',
          obj.docstring.value)
