import numpy as np
from PIL import Image
import pytest

from training import pictures


def _rows(channels, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(256, size=(2, 3, 4, 4, channels), dtype=np.uint8)


@pytest.mark.parametrize('channels, mode', [(1, 'L'), (3, 'RGB')])
def test_every_image_is_found_in_its_place(tmp_path, channels, mode):
  rows = _rows(channels)
  pictures.save_grid(tmp_path / 'grid.png', rows, min_cell=12)
  picture = Image.open(tmp_path / 'grid.png')
  assert picture.mode == mode
  assert picture.size == (3 * 16 + 4, 2 * 16 + 4)
  pixels = np.asarray(picture).reshape(2 * 16 + 4, 3 * 16 + 4, channels)
  for row in range(2):
    for column in range(3):
      top, left = 4 + 16 * row, 4 + 16 * column
      # Each pixel became a square of 3x3.
      for offset in range(3):
        found = pixels[top + offset:top + 12:3, left + offset:left + 12:3]
        np.testing.assert_array_equal(found, rows[row, column])


def test_large_images_keep_their_size(tmp_path):
  pictures.save_grid(tmp_path / 'grid.png', _rows(1), min_cell=2)
  assert Image.open(tmp_path / 'grid.png').size == (3 * 8 + 4, 2 * 8 + 4)


def test_labels_are_written_left_of_their_rows(tmp_path):
  rows = np.zeros([2, 3, 4, 4, 1], np.uint8)
  pictures.save_grid(tmp_path / 'plain.png', rows)
  pictures.save_grid(tmp_path / 'grid.png', rows, labels=['', 'T = 1'])
  plain = np.asarray(Image.open(tmp_path / 'plain.png'))
  labelled = np.asarray(Image.open(tmp_path / 'grid.png'))
  margin = labelled.shape[1] - plain.shape[1]
  np.testing.assert_array_equal(labelled[:, margin:], plain)
  upper, lower = np.split(labelled[:, :margin], 2)
  assert np.all(upper == 255)
  assert np.any(lower < 64)


def test_labels_are_written_above_their_columns(tmp_path):
  rows = np.zeros([2, 3, 4, 4, 1], np.uint8)
  pictures.save_grid(tmp_path / 'plain.png', rows)
  pictures.save_grid(tmp_path / 'columns.png', rows,
                     column_labels=['', '', '1.5'])
  pictures.save_grid(tmp_path / 'both.png', rows, labels=['', 'a'],
                     column_labels=['', '', '1.5'])
  plain, columns, both = (
      np.asarray(Image.open(tmp_path / f'{name}.png'))
      for name in ('plain', 'columns', 'both'))
  head = len(columns) - len(plain)
  np.testing.assert_array_equal(columns[head:], plain)
  assert np.all(columns[:head, :104] == 255)
  assert np.any(columns[:head, 104:] < 64)
  margin = both.shape[1] - columns.shape[1]
  np.testing.assert_array_equal(both[:, margin:], columns)
  assert np.all(both[:head + 50, :margin] == 255)
  assert np.any(both[head + 56:, :margin] < 64)


@pytest.mark.parametrize('rows', [
    np.zeros([2, 3, 4, 4], np.uint8),
    np.zeros([2, 3, 4, 4, 1], np.float32),
])
def test_other_forms_of_rows_are_refused(tmp_path, rows):
  with pytest.raises(ValueError, match='`rows` must be uint8'):
    pictures.save_grid(tmp_path / 'grid.png', rows)


@pytest.mark.parametrize('argument', ['labels', 'column_labels'])
def test_a_label_for_each_row_or_column(tmp_path, argument):
  with pytest.raises(ValueError, match=f'`{argument}`'):
    pictures.save_grid(
        tmp_path / 'grid.png', _rows(1), **{argument: ['one']})
