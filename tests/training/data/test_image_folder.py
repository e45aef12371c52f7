import logging
import struct

import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tensorflow as tf

from training import data
from training.data import image_folder


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / 'images'
  path.mkdir()
  return path


@pytest.fixture
def open_folder(config, folder):
  def open_folder(**fields):
    config.update(name=f'image_folder:{folder}', **fields)
    return data.open(config)
  return open_folder


def _save(path, image=None, **kwargs):
  path.parent.mkdir(parents=True, exist_ok=True)
  if image is None:
    image = np.full((4, 4, 3), len(list(path.parent.iterdir())), np.uint8)
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  image.save(path, **kwargs)


def _all(batches):
  batches = list(batches.as_numpy_iterator())
  if isinstance(batches[0], tuple):
    return [np.concatenate(parts) for parts in zip(*batches)]
  return np.concatenate(batches)


def _first_pixel(image, folder, open_folder, suffix='png', **kwargs):
  """What one image is read as, beside one that is held out."""
  _save(folder / 'train' / f'a.{suffix}', image, **kwargs)
  _save(folder / 'test' / 'a.png', Image.new('RGB', image.size))
  images, = _all(open_folder().train_batches(1, seed=0).take(1))
  return images


def test_classes_and_splits(folder, open_folder):
  for split, count in (('train', 3), ('test', 2)):
    for number, name in enumerate(('cat', 'ape')):
      for image in range(count):
        _save(folder / split / name / f'{image}.png',
              np.full((4, 4, 3), 10 * number + image, np.uint8))
  images = open_folder()
  assert images.image_shape == (4, 4, 3)
  assert images.class_names == ['ape', 'cat'] and images.num_classes == 2
  assert (images.num_train, images.num_eval) == (6, 4)
  evaluated, labels = _all(images.eval_batches(3))
  assert labels.tolist() == [0, 0, 1, 1]
  assert evaluated[:, 0, 0, 0].tolist() == [10, 11, 0, 1]


def test_without_splits_a_tenth_is_held_out_and_stays_so(folder, open_folder):
  def held_out():
    images = open_folder()
    assert images.num_train + images.num_eval == len(list(folder.rglob('*.p*')))
    return images.num_eval, {
        image[0, 0, 0] for image in _all(images.eval_batches(8))[0]}

  for number in range(40):
    _save(folder / ('cat', 'ape')[number % 2] / f'{number}.png',
          np.full((4, 4, 3), number, np.uint8))
  assert held_out()[0] == 4
  before = held_out()[1]
  assert before not in ({0, 1, 10, 11}, {6, 7, 8, 9})  # first or last by name
  for number in range(40, 45):
    _save(folder / 'cat' / f'{number}.png',
          np.full((4, 4, 3), number, np.uint8))
  count, after = held_out()
  assert count == 5 and len(after - before) <= 2


def test_a_flat_folder_has_no_labels(folder, open_folder):
  for number in range(20):
    _save(folder / f'{number}.png')
  images = open_folder(train_split='train[:50%]')
  assert images.class_names is None
  assert (images.num_train, images.num_eval) == (9, 2)
  assert _all(images.eval_batches(8)).shape == (2, 4, 4, 3)


def test_deeper_folders_make_no_difference(folder, open_folder):
  _save(folder / 'train' / 'cat' / 'home' / 'a.png')
  _save(folder / 'train' / 'cat' / 'a.png')
  _save(folder / 'test' / 'cat' / 'a.png')
  assert open_folder().num_train == 2


def test_what_is_no_image_is_skipped_and_said(folder, open_folder, caplog):
  for number in range(5):
    _save(folder / 'train' / f'{number}.png')
    _save(folder / 'test' / f'{number}.jpg')
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
  assert len(_all(images.eval_batches(8))) == 2


def test_many_skipped_files_are_counted_and_the_first_named(
    folder, open_folder, caplog):
  for split in ('train', 'test'):
    _save(folder / split / 'a.png')
  for number in range(25):
    (folder / 'train' / f'b{number:02}.png').touch()
  with caplog.at_level(logging.WARNING, 'absl'):
    open_folder()
  assert '25 skipped' in caplog.text
  assert 'b09.png' in caplog.text and 'b10.png' not in caplog.text


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'gif', 'bmp', 'webp', 'tif'])
def test_damaged_files_are_skipped(folder, open_folder, suffix):
  """However a file is damaged, other images are read."""
  rng = np.random.default_rng(0)
  image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
  for split in ('train', 'test'):
    _save(folder / split / f'whole.{suffix}', image)
  whole = bytearray((folder / 'train' / f'whole.{suffix}').read_bytes())
  for number in range(60):
    damaged = whole.copy()
    for position in rng.integers(0, len(whole), 1 + number % 5):
      damaged[position] = rng.integers(256)
    if number % 3 == 0:
      damaged = damaged[:rng.integers(len(whole))]
    (folder / 'train' / f'{number}.{suffix}').write_bytes(damaged)
  # What still reads as an image may have got another size.
  images = open_folder(image_size=16)
  assert 1 <= images.num_train < 61


def test_cmyk(folder, open_folder):
  image = Image.new('CMYK', (4, 4), (0, 255, 255, 0))
  read = _first_pixel(image, folder, open_folder, 'jpg', quality=100)
  np.testing.assert_allclose(
      read, np.broadcast_to([255, 0, 0], (4, 4, 3)), atol=3)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_16_bits_are_scaled_to_8(folder, open_folder, suffix):
  levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
  read = _first_pixel(
      Image.fromarray(levels), folder, open_folder, suffix)
  expected = np.arange(256).reshape(16, 16, 1)
  np.testing.assert_array_equal(read, np.broadcast_to(expected, (16, 16, 3)))


def test_pixels_of_unknown_range_are_skipped(folder, open_folder, caplog):
  for split in ('train', 'test'):
    _save(folder / split / 'a.png')
  _save(folder / 'train' / 'b.tif', np.ones((4, 4), np.float32))
  _save(folder / 'train' / 'c.tif', np.ones((4, 4), np.int32))
  with caplog.at_level(logging.WARNING, 'absl'):
    assert open_folder().num_train == 1
  assert "b.tif: pixels of 32 bits ('F')" in caplog.text
  assert "c.tif: pixels of 32 bits ('I')" in caplog.text


def test_links_to_folders_and_to_nowhere(folder, open_folder, tmp_path, caplog):
  for name in ('cat', 'dog'):
    for number in range(10):
      _save(tmp_path / 'store' / name / f'{number}.png')
    (folder / name).symlink_to(tmp_path / 'store' / name)
  (folder / 'cat' / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
  with caplog.at_level(logging.WARNING, 'absl'):
    images = open_folder()
  assert images.class_names == ['cat', 'dog'] and images.num_train == 18
  assert '1 skipped:\n  cat/gone.png: No such file' in caplog.text


def _decoded(path, pixels, **kwargs):
  Image.fromarray(pixels).save(path, **kwargs)
  return image_folder._decode(path)


@pytest.mark.parametrize('suffix, shape, dtype', [
    (suffix, shape, dtype)
    for suffix, shapes in (
        ('tif', ['', '3', '4']), ('png', ['', '3', '4']), ('jpg', ['', '3']),
        ('webp', ['', '3', '4']))
    for shape in [(8, 16, *map(int, channels)) for channels in shapes]
    for dtype in (np.uint8, np.uint16)
    if dtype == np.uint8 or len(shape) == 2 and suffix in ('tif', 'png')])
def test_every_kind_is_turned_the_right_way_up(tmp_path, suffix, shape, dtype):
  """Of all eight orientations, against what they mean."""
  ramp = np.linspace(0, np.iinfo(dtype).max, 128).astype(dtype).reshape(8, 16)
  pixels = ramp if len(shape) == 2 else np.repeat(ramp[..., None], shape[2], 2)
  if len(shape) == 3 and shape[2] == 4:
    pixels[..., 3] = 255
  grey = (ramp >> (8 if dtype == np.uint16 else 0)).astype(np.uint8)
  options = {'jpg': {'quality': 100}, 'webp': {'lossless': True}}
  for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = Image.fromarray(grey)
    turned.info['exif'] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(turned))
    assert (expected.shape == (16, 8)) == (orientation > 4)
    read = _decoded(tmp_path / f'a.{suffix}', pixels, exif=exif,
                    **options.get(suffix, {}))
    np.testing.assert_allclose(
        read.astype(int), np.repeat(expected[..., None], 3, -1),
        atol=3 if suffix in options else 0, err_msg=str(orientation))


def _pgm(largest, values):
  header = f'P5 {values.shape[1]} {values.shape[0]} {largest}\n'
  return header.encode() + values.astype('>u2').tobytes()


@pytest.mark.parametrize('largest', [65535, 4095, 1023, 1000])
def test_pgm_of_more_than_8_bits(tmp_path, largest):
  values = np.linspace(0, largest, 64).round().astype(int).reshape(8, 8)
  (tmp_path / 'a.pgm').write_bytes(_pgm(largest, values))
  (tmp_path / 'b.pgm').write_text(
      f'P2 8 8 {largest}\n' + ' '.join(map(str, values.ravel())))
  for name in ('a.pgm', 'b.pgm'):
    read = image_folder._decode(tmp_path / name)
    np.testing.assert_allclose(
        read[..., 0], values * (255.99 / largest), atol=1.)
    assert read.shape == (8, 8, 3) and read.max() == 255


def test_tiff_of_12_bits(tmp_path):
  """As microscopes write it: two values in three bytes."""
  values = np.arange(64) * 65
  pairs = (values[::2] << 12 | values[1::2]).tolist()
  packed = b''.join(pair.to_bytes(3, 'big') for pair in pairs)
  tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 122),
          (277, 1), (278, 8), (279, len(packed))]
  header = struct.pack('<2sHIH', b'II', 42, 8, len(tags)) + b''.join(
      struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
  content = header + struct.pack('<I', 0)
  (tmp_path / 'a.tif').write_bytes(content.ljust(122, b'\0') + packed)
  read = image_folder._decode(tmp_path / 'a.tif')
  np.testing.assert_array_equal(read[..., 1].ravel(), values >> 4)


@pytest.mark.parametrize('channels', [2, 3, 4])
def test_deep_colours_keep_their_bits(folder, open_folder, channels):
  """Of a PNG of 16 bits each, Pillow alone would read the upper 8."""
  rng = np.random.default_rng(0)
  for name in ('train', 'test'):
    (folder / name).mkdir()
  values = rng.integers(0, 4096, (8, 8, channels)).astype(np.uint16)
  values[..., channels - 1] += 2048 - values[..., channels - 1] // 2
  for name in ('train', 'test'):
    (folder / name / 'a.png').write_bytes(
        tf.io.encode_png(values).numpy())
  read, = _all(open_folder(bits=12).eval_batches(1))
  colours = values[..., :3] if channels > 2 else values[..., [0, 0, 0]]
  np.testing.assert_array_equal(read, colours >> 4)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_12_of_16_bits_are_brought_to_the_top(
    folder, open_folder, suffix, caplog):
  values = np.arange(4096).reshape(64, 64).astype(np.uint16)
  for split in ('train', 'test'):
    _save(folder / split / f'a.{suffix}', values)
  with caplog.at_level(logging.WARNING, 'absl'):
    assert len(np.unique(_all(open_folder().eval_batches(1)))) == 16
  assert 'is 4095' in caplog.text and '--config.data.bits=12' in caplog.text
  caplog.clear()
  with caplog.at_level(logging.WARNING, 'absl'):
    read, = _all(open_folder(bits=12).eval_batches(1))
  assert not caplog.text
  np.testing.assert_array_equal(read[..., 0], values >> 4)
  with pytest.raises(ValueError, match=f'`bits` is 10, but a.{suffix} has'):
    open_folder(bits=10)
  with pytest.raises(ValueError, match='`bits` is 0; it must be from 1 to 16'):
    open_folder(bits=0)


def test_32_bits_are_read_where_their_range_is_told(
    folder, open_folder, caplog):
  values = np.arange(64, dtype=np.int32).reshape(8, 8) * 64
  for split in ('train', 'test'):
    _save(folder / split / 'a.tif', values)
  _save(folder / 'train' / 'b.tif', values - 1)
  with caplog.at_level(logging.WARNING, 'absl'):
    read, = _all(open_folder(bits=12).eval_batches(1))
  np.testing.assert_array_equal(read[..., 0], values >> 4)
  assert 'b.tif: the value -1, which is negative' in caplog.text


@pytest.mark.parametrize('error', [
    TypeError('no integer'), KeyError(7), RuntimeError('broken'),
    MemoryError(), ZeroDivisionError()])
def test_whatever_a_damaged_file_raises_it_is_skipped(
    folder, open_folder, error, monkeypatch, caplog):
  for split in ('train', 'test'):
    _save(folder / split / 'a.png')
  (folder / 'train' / 'bad.png').write_bytes(b'bad')
  opened = Image.open

  def open_image(file):
    if file.getvalue() == b'bad':
      raise error
    return opened(file)

  monkeypatch.setattr(image_folder.Image, 'open', open_image)
  with caplog.at_level(logging.WARNING, 'absl'):
    assert open_folder().num_train == 1
  assert '1 skipped:\n  train/bad.png: ' in caplog.text


def test_a_train_folder_alone_has_a_tenth_of_each_class_held_out(
    folder, open_folder):
  for name in ('ant', 'bee', 'wasp'):
    for number in range(20):
      _save(folder / 'train' / name / f'{number}.png')
  images = open_folder()
  assert images.class_names == ['ant', 'bee', 'wasp']
  _, labels = _all(images.eval_batches(8))
  assert labels.tolist() == [0, 0, 1, 1, 2, 2]
  assert images.num_train == 54


def test_what_is_guessed_is_told(folder, open_folder, caplog):
  for split, count in (('train', 3), ('val', 1), ('more', 2)):
    for name in ('cat', 'ape'):
      for number in range(count):
        _save(folder / split / name / f'{number}.png')
  _save(folder / 'val' / 'bee' / '0.png')
  _save(folder / 'beside.png')
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
    _save(folder / f'{number}.png',
          np.full((4, 4), 257 * (number + 200), np.uint16))
  (folder / '0.png').write_bytes(b'')
  images = open_folder()
  assert images.description.split(': ', 1)[1] == (
      f'{images.num_train} images to train on (train), {images.num_eval} to '
      'evaluate on (test, a tenth, held out). No classes. 1 could not be read. '
      'Of values of 16 bits, the upper 8 are taken.')


def test_splits_below_classes_are_refused(folder, open_folder):
  for split in ('train', 'test'):
    _save(folder / 'images' / split / 'cat' / 'a.png')
  with pytest.raises(ValueError, match='images has folders called as those'):
    open_folder()


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'LA', 'RGBA'])
def test_other_modes_become_rgb(folder, open_folder, mode):
  image = Image.new('L', (4, 4), 0)
  image.paste(255, (0, 0, 2, 4))
  read = _first_pixel(image.convert(mode), folder, open_folder)
  np.testing.assert_array_equal(
      read, np.repeat(np.asarray(image)[..., None], 3, axis=-1))


@pytest.mark.parametrize('kind', ['RGB', 'I;16'])
def test_images_are_turned_the_right_way_up(folder, open_folder, kind):
  upright = np.zeros((6, 4, 3), np.uint8)
  upright[0] = 255
  if kind == 'I;16':
    image = Image.fromarray(upright[..., 0].astype(np.uint16) * 257)
  else:
    image = Image.fromarray(upright)
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by a quarter to the right
  _save(folder / 'train' / 'a.png', image.transpose(
      Image.Transpose.ROTATE_90), exif=exif)
  _save(folder / 'test' / 'a.png', Image.fromarray(upright))
  read, = _all(open_folder().train_batches(1, seed=0).take(1))
  np.testing.assert_array_equal(read, upright)


def test_mixed_sizes_need_a_size(folder, open_folder):
  for split in ('train', 'test'):
    _save(folder / split / 'a.png')
    _save(folder / split / 'b.png', np.zeros((6, 5, 3), np.uint8))
  with pytest.raises(ValueError, match=r'\(4x4, 6x5\): set `image_size`'):
    open_folder()
  assert open_folder(image_size=4).image_shape == (4, 4, 3)
  # What was refused must not stay behind.
  with pytest.raises(ValueError, match=r'\(4x4, 6x5\): set `image_size`'):
    open_folder(image_size=None)


def test_splits_of_different_sizes_are_refused(folder, open_folder):
  _save(folder / 'train' / 'a.png')
  _save(folder / 'test' / 'a.png', np.zeros((6, 5, 3), np.uint8))
  with pytest.raises(ValueError, match='4x4.*6x5.*set `image_size`'):
    open_folder()


def test_another_image_of_the_same_name_is_read(folder, open_folder):
  for split in ('train', 'test'):  # in files of the same size
    _save(folder / split / 'a.bmp', np.zeros((4, 4, 3), np.uint8))
  assert _all(open_folder().eval_batches(1)).max() == 0
  _save(folder / 'test' / 'a.bmp', np.full((4, 4, 3), 9, np.uint8))
  assert _all(open_folder().eval_batches(1)).max() == 9


def test_images_beside_class_folders_are_refused(folder, open_folder):
  _save(folder / 'train' / 'cat' / 'a.png')
  _save(folder / 'train' / 'b.png')
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
