import logging

import numpy as np
import pytest

from tests.training.data import files
from training import data


def test_classes_and_splits(folder, open_folder):
  for split, count in (('train', 3), ('test', 2)):
    for number, name in enumerate(('cat', 'ape')):
      for image in range(count):
        files.save(folder / split / name / f'{image}.png',
              np.full((4, 4, 3), 10 * number + image, np.uint8))
  images = open_folder()
  assert images.image_shape == (4, 4, 3)
  assert images.class_names == ['ape', 'cat'] and images.num_classes == 2
  assert (images.num_train, images.num_eval) == (6, 4)
  evaluated, labels = files.all_of(images.eval_batches(3))
  assert labels.tolist() == [0, 0, 1, 1]
  assert evaluated[:, 0, 0, 0].tolist() == [10, 11, 0, 1]


def test_without_splits_a_tenth_is_held_out_and_stays_so(folder, open_folder):
  def held_out():
    images = open_folder()
    assert images.num_train + images.num_eval == len(list(folder.rglob('*.p*')))
    return images.num_eval, {
        image[0, 0, 0] for image in files.all_of(images.eval_batches(8))[0]}

  for number in range(40):
    files.save(folder / ('cat', 'ape')[number % 2] / f'{number}.png',
          np.full((4, 4, 3), number, np.uint8))
  assert held_out()[0] == 4
  before = held_out()[1]
  assert before not in ({0, 1, 10, 11}, {6, 7, 8, 9})  # first or last by name
  for number in range(40, 45):
    files.save(folder / 'cat' / f'{number}.png',
          np.full((4, 4, 3), number, np.uint8))
  count, after = held_out()
  assert count == 5 and len(after - before) <= 2


def test_a_flat_folder_has_no_labels(folder, open_folder):
  for number in range(20):
    files.save(folder / f'{number}.png')
  images = open_folder(train_split='train[:50%]')
  assert images.class_names is None
  assert (images.num_train, images.num_eval) == (9, 2)
  assert files.all_of(images.eval_batches(8)).shape == (2, 4, 4, 3)


def test_deeper_folders_make_no_difference(folder, open_folder):
  files.save(folder / 'train' / 'cat' / 'home' / 'a.png')
  files.save(folder / 'train' / 'cat' / 'a.png')
  files.save(folder / 'test' / 'cat' / 'a.png')
  assert open_folder().num_train == 2


def test_what_is_no_image_is_skipped_and_said(folder, open_folder, caplog):
  for number in range(5):
    files.save(folder / 'train' / f'{number}.png')
    files.save(folder / 'test' / f'{number}.jpg')
  whole = (folder / 'test' / '1.jpg').read_bytes()
  (folder / 'test' / '1.jpg').write_bytes(whole[:len(whole) // 2])
  (folder / 'test' / '2.jpg').write_bytes(b'')
  (folder / 'test' / '3.jpg').write_text('not an image')
  (folder / 'README.txt').write_text('not an image')
  (folder / 'train' / '.hidden.png').write_bytes(whole)
  (folder / '.cache').mkdir()
  (folder / '.cache' / 'a.png').write_bytes(whole)
  for _ in range(2):  # the second time from what was prepared
    caplog.clear()
    with caplog.at_level(logging.WARNING, 'absl'):
      images = open_folder()
    assert (images.num_train, images.num_eval) == (5, 2)
    assert '3 skipped' in caplog.text
    for name in ('1.jpg', '2.jpg', '3.jpg', 'README.txt', '.hidden.png',
                 '.cache'):
      assert name in caplog.text, name
  assert len(files.all_of(images.eval_batches(8))) == 2


def test_many_skipped_files_are_counted_and_the_first_named(
    folder, open_folder, caplog):
  for split in ('train', 'test'):
    files.save(folder / split / 'a.png')
  for number in range(25):
    (folder / 'train' / f'b{number:02}.png').touch()
  with caplog.at_level(logging.WARNING, 'absl'):
    open_folder()
  assert '25 skipped' in caplog.text
  assert 'b09.png' in caplog.text and 'b10.png' not in caplog.text


def test_links_to_folders_and_to_nowhere(folder, open_folder, tmp_path, caplog):
  for name in ('cat', 'dog'):
    for number in range(10):
      files.save(tmp_path / 'store' / name / f'{number}.png')
    (folder / name).symlink_to(tmp_path / 'store' / name)
  (folder / 'cat' / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
  with caplog.at_level(logging.WARNING, 'absl'):
    images = open_folder()
  assert images.class_names == ['cat', 'dog'] and images.num_train == 18
  assert '1 skipped:\n  cat/gone.png: No such file' in caplog.text


def test_a_train_folder_alone_has_a_tenth_of_each_class_held_out(
    folder, open_folder):
  for name in ('ant', 'bee', 'wasp'):
    for number in range(20):
      files.save(folder / 'train' / name / f'{number}.png')
  images = open_folder()
  assert images.class_names == ['ant', 'bee', 'wasp']
  _, labels = files.all_of(images.eval_batches(8))
  assert labels.tolist() == [0, 0, 1, 1, 2, 2]
  assert images.num_train == 54


def test_what_is_guessed_is_told(folder, open_folder, caplog):
  for split, count in (('train', 3), ('val', 1), ('more', 2)):
    for name in ('cat', 'ape'):
      for number in range(count):
        files.save(folder / split / name / f'{number}.png')
  files.save(folder / 'val' / 'bee' / '0.png')
  files.save(folder / 'beside.png')
  with caplog.at_level(logging.WARNING, 'absl'):
    images = open_folder()
  assert images.description == (
      f'image_folder:{folder}: 6 images to train on (train), 3 to evaluate on '
      '(val). Left out: more (4). 3 classes: ape (3 + 1), bee (0 + 1), '
      'cat (3 + 1).')
  assert 'left out are the splits more (4)' in caplog.text
  assert 'none to train on, of bee.' in caplog.text
  assert 'beside.png: beside the splits more, train, val' in caplog.text


def test_what_is_held_out_is_told(folder, open_folder):
  for number in range(20):
    files.save(folder / f'{number}.png',
          np.full((4, 4), 257 * (number + 200), np.uint16))
  (folder / '0.png').write_bytes(b'')
  images = open_folder()
  assert images.description.split(': ', 1)[1] == (
      f'{images.num_train} images to train on (train), {images.num_eval} to '
      'evaluate on (test, a tenth, held out). No classes. 1 could not be read. '
      'Of values of 16 bits, the upper 8 are taken.')


def test_splits_below_classes_are_refused(folder, open_folder):
  for split in ('train', 'test'):
    files.save(folder / 'images' / split / 'cat' / 'a.png')
  with pytest.raises(ValueError, match='images has folders called as those'):
    open_folder()


def test_mixed_sizes_need_a_size(folder, open_folder):
  for split in ('train', 'test'):
    files.save(folder / split / 'a.png')
    files.save(folder / split / 'b.png', np.zeros((6, 5, 3), np.uint8))
  with pytest.raises(ValueError, match=r'\(4x4, 6x5\): set `image_size`'):
    open_folder()
  assert open_folder(image_size=4).image_shape == (4, 4, 3)
  # What was refused must not stay behind.
  with pytest.raises(ValueError, match=r'\(4x4, 6x5\): set `image_size`'):
    open_folder(image_size=None)


def test_splits_of_different_sizes_are_refused(folder, open_folder):
  files.save(folder / 'train' / 'a.png')
  files.save(folder / 'test' / 'a.png', np.zeros((6, 5, 3), np.uint8))
  with pytest.raises(ValueError, match='4x4.*6x5.*set `image_size`'):
    open_folder()


def test_another_image_of_the_same_name_is_read(folder, open_folder):
  for split in ('train', 'test'):  # in files of the same size
    files.save(folder / split / 'a.bmp', np.zeros((4, 4, 3), np.uint8))
  assert files.all_of(open_folder().eval_batches(1)).max() == 0
  files.save(folder / 'test' / 'a.bmp', np.full((4, 4, 3), 9, np.uint8))
  assert files.all_of(open_folder().eval_batches(1)).max() == 9


def test_images_beside_class_folders_are_refused(folder, open_folder):
  files.save(folder / 'train' / 'cat' / 'a.png')
  files.save(folder / 'train' / 'b.png')
  with pytest.raises(ValueError, match=r'b\.png is beside them'):
    open_folder()


def test_a_folder_has_to_be_there(config, folder):
  config.name = f'image_folder:{folder}/nowhere'
  with pytest.raises(FileNotFoundError, match='no such folder. Put the images'):
    data.open(config)
  config.name = 'image_folder:'
  with pytest.raises(ValueError, match='image_folder:PATH'):
    data.open(config)


def test_a_folder_has_to_have_images(folder, open_folder):
  (folder / 'a.txt').touch()
  with pytest.raises(ValueError, match='no image is there'):
    open_folder()
  for split in ('train', 'test'):
    (folder / split).mkdir()
    (folder / split / 'a.png').touch()
  with pytest.raises(ValueError, match=(
      '`train_split`.*no image can be read:\n  train/a.png: cannot identify')):
    open_folder()
