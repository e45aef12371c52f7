"""What the files and folders of a folder of images are taken for."""

import collections
import hashlib
import math
import os
import pathlib
import re
import stat

SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif',
            '.tiff', '.webp')

# What folders of splits are called, in any case of letters.
_ROLES = {
    role: re.compile(rf'({names})([ _-]?(set|data|images|split))?', re.I)
    for role, names in (
        ('train', 'train(ing)?'),
        ('test', 'test(ing)?'),
        ('validation', 'val(id(ation)?)?|dev|eval(uation)?'))
}


def list_images(root):
  """The images in a folder and in those below it, links followed.

  Args:
    root: `pathlib.Path`.

  Returns:
    names: Paths of images below `root` as tuples of names, sorted.
    ignored: Python `str`s: what else is there, and why it is left out.
  """
  names, ignored = [], []

  def look(inside, above):
    folder = root.joinpath(*inside)
    real = os.path.realpath(folder)
    if real in above:
      leave_out(inside, 'a link to a folder that it is in')
      return
    try:
      found = sorted(os.listdir(folder))
    except OSError as error:
      leave_out(inside, error.strerror)
      return
    for name in found:
      path = (*inside, name)
      if name.startswith('.'):
        leave_out(path, 'hidden')
        continue
      try:
        mode = folder.joinpath(name).stat().st_mode
      except OSError as error:
        # Of links to nowhere and of circles of links, say.
        leave_out(path, error.strerror)
        continue
      if stat.S_ISDIR(mode):
        look(path, above | {real})
      elif not name.lower().endswith(SUFFIXES):
        leave_out(path, 'no image by its suffix')
      elif not stat.S_ISREG(mode):
        leave_out(path, 'no file')
      else:
        names.append(path)

  def leave_out(path, why):
    ignored.append(f'{os.path.join(*path) if path else root}: {why}')

  look((), frozenset())
  return sorted(names), ignored


def splits(names):
  """Which of the images are in which split, if folders are splits.

  Folders at the top are splits if one is called `train` or the like, and
  another `test`, `validation` or the like. So they are, too, if all are called
  so, or if `train` has folders in it: next to classes it would be one.

  Args:
    names: Paths of images as tuples of names.

  Returns:
    splits: `dict` from the names of splits to lists of paths; or `None`.
  """
  found = collections.defaultdict(list)
  for parts in names:
    if len(parts) > 1:
      found[parts[0]].append(parts)
  roles = [role(name) for name in found]
  has_folders = any(
      len(parts) > 2 for name in found if role(name) == 'train'
      for parts in found[name])
  is_split = 'train' in roles and (
      has_folders or {'test', 'validation'} & set(roles))
  return dict(found) if found and (is_split or all(roles)) else None


def role(name):
  """What a split of this name is for: a key of `_ROLES`, or `None`."""
  return next((role for role, names in _ROLES.items()
               if names.fullmatch(name)), None)


def hold_out(names, group):
  """Holds a tenth of each group out, those first by a hash of their names.

  Args:
    names: Paths of images as tuples of names.
    group: Callable of a path: its class.

  Returns:
    splits: `dict` of `'train'` and `'test'`, lists of paths. Of a group of one
      image that is not the only group, nothing is held out.
  """
  groups = collections.defaultdict(list)
  for parts in names:
    groups[group(parts)].append(parts)

  def by_hash(parts):
    return hashlib.sha256(os.fsencode(os.path.join(*parts))).digest()

  held_out = set()
  for members in groups.values():
    if len(members) > 1 or len(groups) == 1:
      held_out.update(
          sorted(members, key=by_hash)[:math.ceil(len(members) / 10)])
  return {'train': [parts for parts in names if parts not in held_out],
          'test': sorted(held_out)}


def misplaced_splits(names, depth):
  """Folders of splits that are below those of classes, and so are not seen.

  Args:
    names: Paths of images as tuples of names.
    depth: Python `int`, how deep classes are.

  Returns:
    folders: Sorted paths of folders, of which each has such folders.
  """
  below = collections.defaultdict(set)
  for parts in names:
    for place in range(depth + 1, len(parts) - 1):
      below[parts[:place]].add(role(parts[place]))
  return sorted(
      str(pathlib.Path(*folder)) for folder, roles in below.items()
      if 'train' in roles and roles & {'test', 'validation'})
