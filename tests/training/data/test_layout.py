"""Which folders are splits, which are classes, and what is left out."""

import os

import pytest

from training.data import layout


def _paths(*folders, count=1):
  """`count` images in each of the folders."""
  return [(*folder.split('/'), f'{number}.png') if folder else
          (f'{number}.png',) for folder in folders for number in range(count)]


@pytest.mark.parametrize('folders, splits', [
    (['train/cat', 'test/cat'], ['train', 'test']),
    (['train', 'val'], ['train', 'val']),
    (['Train/a', 'VALID/a'], ['Train', 'VALID']),
    (['training_set/a', 'Test Images/a'], ['training_set', 'Test Images']),
    (['train/a', 'dev/a', 'more/a'], ['train', 'dev', 'more']),
    (['train/a', 'train/b'], ['train']),
    (['train'], ['train']),
    (['test/a', 'validation/a'], ['test', 'validation']),
    (['train/a', 'more/a'], ['train', 'more']),
    (['bus', 'car', 'train'], None),
    (['bus/old', 'car', 'train'], None),
    (['cat', 'test'], None),
    (['trains', 'tests'], None),
    (['cat/train', 'cat/test'], None),
    ([''], None),
])
def test_folders_are_splits_where_they_are_called_so(folders, splits):
  found = layout.splits(_paths(*folders))
  assert found == (splits and {
      split: [parts for parts in _paths(*folders) if parts[0] == split]
      for split in splits})


@pytest.mark.parametrize('name, role', [
    ('train', 'train'), ('TRAIN', 'train'), ('training-data', 'train'),
    ('test', 'test'), ('Testing', 'test'), ('testset', 'test'),
    ('val', 'validation'), ('valid', 'validation'), ('Dev', 'validation'),
    ('validation_split', 'validation'), ('eval', 'validation'),
    ('trainer', None), ('contest', None), ('value', None), ('', None)])
def test_names_of_splits(name, role):
  assert layout.role(name) == role


def test_a_tenth_of_each_class_is_held_out():
  names = _paths('a', 'b', 'c', count=25) + _paths('few', count=2) + _paths(
      'one', count=1)
  splits = layout.hold_out(names, lambda parts: parts[0])
  assert sorted(splits['train'] + splits['test']) == sorted(names)
  counts = {name: sum(parts[0] == name for parts in splits['test'])
            for name in ('a', 'b', 'c', 'few', 'one')}
  assert counts == {'a': 3, 'b': 3, 'c': 3, 'few': 1, 'one': 0}
  # By hash: neither the first nor the last names.
  assert [parts for parts in splits['test'] if parts[0] == 'a'] not in (
      sorted(names)[:3], sorted(names[:25])[-3:])


@pytest.mark.parametrize('folders, depth, found', [
    (['images/train/cat', 'images/test/cat'], 0, ['images']),
    (['cat/train', 'cat/val'], 0, ['cat']),
    (['x/y/Train/a', 'x/y/Test/a'], 0, ['x/y']),
    (['train/cat/train', 'train/cat/test'], 1, ['train/cat']),
    (['train/cat', 'test/cat'], 1, []),
    (['cat/train', 'cat/more'], 0, []),
    (['cat/home'], 0, [])])
def test_splits_that_do_not_come_first_are_found(folders, depth, found):
  assert layout.misplaced_splits(_paths(*folders), depth) == found


def test_links_are_followed_and_circles_cut(tmp_path):
  (tmp_path / 'store' / 'cat' / 'deep').mkdir(parents=True)
  (tmp_path / 'store' / 'cat' / 'a.png').touch()
  (tmp_path / 'store' / 'cat' / 'deep' / 'b.png').touch()
  root = tmp_path / 'root'
  root.mkdir()
  os.symlink(tmp_path / 'store' / 'cat', root / 'cat')
  os.symlink(tmp_path / 'store' / 'cat' / 'a.png', root / 'c.png')
  os.symlink(tmp_path / 'store', tmp_path / 'store' / 'cat' / 'up')
  os.symlink('gone.png', root / 'dead.png')
  os.symlink(tmp_path / 'nowhere', root / 'dog')
  os.symlink('round', root / 'round')
  os.mkfifo(root / 'pipe.png')
  names, ignored = layout.list_images(root)
  assert names == [('c.png',), ('cat', 'a.png'), ('cat', 'deep', 'b.png')]
  why = dict(one.split(': ') for one in ignored)
  assert why == {
      'cat/up/cat': 'a link to a folder that it is in',
      'dead.png': 'No such file or directory',
      'dog': 'No such file or directory',
      'pipe.png': 'no file',
      'round': 'Too many levels of symbolic links'}


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
  for name in ('open', 'locked'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'a.png').touch()
  listdir = os.listdir

  def refuse(path):  # as root one may read all
    if os.path.basename(path) == 'locked':
      raise PermissionError(13, 'Permission denied')
    return listdir(path)

  monkeypatch.setattr(layout.os, 'listdir', refuse)
  assert layout.list_images(tmp_path) == (
      [('open', 'a.png')], ['locked: Permission denied'])
