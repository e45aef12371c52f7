"""Images of a folder, of every format, depth and orientation."""

import logging
import struct

import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tensorflow as tf

from tests.training.data import files
from training.data import image_folder


def _first_pixel(image, folder, open_folder, suffix='png', **kwargs):
  """What one image is read as, beside one that is held out."""
  files.save(folder / 'train' / f'a.{suffix}', image, **kwargs)
  files.save(folder / 'test' / 'a.png', Image.new('RGB', image.size))
  images, = files.all_of(open_folder().train_batches(1, seed=0).take(1))
  return images


@pytest.mark.filterwarnings('ignore::UserWarning:PIL')
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'gif', 'bmp', 'webp', 'tif'])
def test_damaged_files_are_skipped(folder, open_folder, suffix):
  """However a file is damaged, other images are read."""
  rng = np.random.default_rng(0)
  image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
  for split in ('train', 'test'):
    files.save(folder / split / f'whole.{suffix}', image)
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
    files.save(folder / split / 'a.png')
  files.save(folder / 'train' / 'b.tif', np.ones((4, 4), np.float32))
  files.save(folder / 'train' / 'c.tif', np.ones((4, 4), np.int32))
  with caplog.at_level(logging.WARNING, 'absl'):
    assert open_folder().num_train == 1
  assert "b.tif: pixels of 32 bits ('F')" in caplog.text
  assert "c.tif: pixels of 32 bits ('I')" in caplog.text


def _decoded(path, pixels, **kwargs):
  Image.fromarray(pixels).save(path, **kwargs)
  return image_folder.read_image(path)


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
    read = image_folder.read_image(tmp_path / name)
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
  read = image_folder.read_image(tmp_path / 'a.tif')
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
  read, = files.all_of(open_folder(bits=12).eval_batches(1))
  colours = values[..., :3] if channels > 2 else values[..., [0, 0, 0]]
  np.testing.assert_array_equal(read, colours >> 4)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_12_of_16_bits_are_brought_to_the_top(
    folder, open_folder, suffix, caplog):
  values = np.arange(4096).reshape(64, 64).astype(np.uint16)
  for split in ('train', 'test'):
    files.save(folder / split / f'a.{suffix}', values)
  with caplog.at_level(logging.WARNING, 'absl'):
    assert len(np.unique(files.all_of(open_folder().eval_batches(1)))) == 16
  assert 'is 4095' in caplog.text and '--config.data.bits=12' in caplog.text
  caplog.clear()
  with caplog.at_level(logging.WARNING, 'absl'):
    read, = files.all_of(open_folder(bits=12).eval_batches(1))
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
    files.save(folder / split / 'a.tif', values)
  files.save(folder / 'train' / 'b.tif', values - 1)
  with caplog.at_level(logging.WARNING, 'absl'):
    read, = files.all_of(open_folder(bits=12).eval_batches(1))
  np.testing.assert_array_equal(read[..., 0], values >> 4)
  assert 'b.tif: the value -1, which is negative' in caplog.text


@pytest.mark.parametrize('error', [
    TypeError('no integer'), KeyError(7), RuntimeError('broken'),
    MemoryError(), ZeroDivisionError()])
def test_whatever_a_damaged_file_raises_it_is_skipped(
    folder, open_folder, error, monkeypatch, caplog):
  for split in ('train', 'test'):
    files.save(folder / split / 'a.png')
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
  files.save(folder / 'train' / 'a.png', image.transpose(
      Image.Transpose.ROTATE_90), exif=exif)
  files.save(folder / 'test' / 'a.png', Image.fromarray(upright))
  read, = files.all_of(open_folder().train_batches(1, seed=0).take(1))
  np.testing.assert_array_equal(read, upright)
