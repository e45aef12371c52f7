"""What the page is made of: uploads, pictures, its command."""

import types

import numpy as np
from PIL import Image
import pytest

from training import processes
from training.studio import judge
from training.studio import pictures
from training.studio import served
from training.studio import uploads


def noise(height=20, width=30, channels=3):
  return np.random.default_rng(0).integers(
      0, 256, [height, width, channels], np.uint8)


@pytest.mark.parametrize('suffix', ['png', 'bmp', 'ppm', 'tiff', 'gif', 'webp'])
def test_pictures_are_read(tmp_path, suffix):
  path = tmp_path / f'picture.{suffix}'
  # Few colours, which a GIF has, too.
  pixels = noise() // 128 * 255
  Image.fromarray(pixels).save(
      path, **({'lossless': True} if suffix == 'webp' else {}))
  np.testing.assert_array_equal(uploads.read(path), pixels)


def test_pictures_are_read_the_right_way_up(tmp_path):
  exif = Image.Exif()
  exif[0x112] = 6  # a quarter turn
  Image.fromarray(noise()).save(tmp_path / 'a.png', exif=exif)
  np.testing.assert_array_equal(
      uploads.read(tmp_path / 'a.png'), np.rot90(noise(), 3))


def test_opaque_pictures_with_an_alpha_channel_are_read(tmp_path):
  pixels = noise(channels=4)
  pixels[..., 3] = 255
  Image.fromarray(pixels).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(
      uploads.read(tmp_path / 'a.png'), pixels[..., :3])


def bad_files(folder):
  """Yields files, and what is said of them."""
  frames = [Image.fromarray(noise(channels=3) // 2 + 127 * i)
            for i in range(2)]
  for suffix in ('gif', 'webp', 'png', 'tiff'):
    frames[0].save(folder / f'film.{suffix}', save_all=True,
                   append_images=frames[1:])
    yield f'film.{suffix}', 'animated'
  Image.fromarray(noise(channels=4)).save(folder / 'alpha.png')
  yield 'alpha.png', 'transparent'
  palette = frames[0].quantize(4)
  palette.save(folder / 'palette.png', transparency=0)
  yield 'palette.png', 'transparent'
  Image.fromarray(noise(channels=3)[..., 0].astype(np.uint16) * 256).save(
      folder / 'deep.png')
  yield 'deep.png', 'more than 8 bits'
  (folder / 'text.png').write_text('no picture')
  yield 'text.png', 'no picture'
  (folder / 'empty.png').write_bytes(b'')
  yield 'empty.png', 'no picture'
  (folder / 'vector.svg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
  yield 'vector.svg', 'no picture'
  Image.fromarray(noise(200, 200)).save(folder / 'whole.jpg')
  data = (folder / 'whole.jpg').read_bytes()
  (folder / 'half.jpg').write_bytes(data[:len(data) // 2])
  yield 'half.jpg', 'damaged'
  Image.fromarray(noise(200, 200)).save(folder / 'whole.png')
  data = bytearray((folder / 'whole.png').read_bytes())
  data[len(data) // 2:len(data) // 2 + 99] = bytes(99)
  (folder / 'corrupt.png').write_bytes(data)
  yield 'corrupt.png', 'damaged'
  (folder / 'large.png').write_bytes(bytes(uploads.MAX_BYTES + 1))
  yield 'large.png', '10.0 MB'
  for name, size in [('wide.png', (10_000, 5_000)),
                     ('bomb.png', (30_000, 30_000))]:
    Image.new('1', size).save(folder / name)
    yield name, 'too many pixels'


def test_bad_files_get_a_sentence(tmp_path):
  for name, message in bad_files(tmp_path):
    with pytest.raises(uploads.BadUpload, match=message) as caught:
      uploads.read(tmp_path / name)
    assert str(caught.value).endswith('.'), name


def test_crops():
  pixels = np.zeros([40, 80, 3], np.uint8)
  pixels[:, 60:] = 200
  # The largest square that fits is 40 pixels wide.
  assert uploads.crop(pixels, (4, 4, 3), across=0.).max() == 0
  right = uploads.crop(pixels, (4, 4, 3), zoom=2., across=1.)
  assert right.min() == 200 and right.shape == (4, 4, 3)
  assert uploads.crop(pixels, (4, 8, 1)).shape == (4, 8, 1)


def test_grids_are_read_as_they_are_drawn():
  images = noise(24 * 8, 10).reshape(24, 8, 10, 3)
  picture = pictures.grid(images, 6)
  for number in range(24):
    top, left = (picture.shape[0] + 4) // 4, (picture.shape[1] + 4) // 6
    y, x = number // 6 * top + 20, number % 6 * left + 20
    assert pictures.cell_at(x, y, images.shape[1:], 6) == number
    np.testing.assert_array_equal(picture[y, x], images[number, 1, 1])


def test_what_is_no_export_is_refused(tmp_path):
  with pytest.raises(ValueError, match='is no export'):
    served.Model(tmp_path)
  with pytest.raises(ValueError, match='is no export'):
    served.Model(tmp_path / 'missing')


def test_the_command_says_what_it_needs():
  result = processes.run(
      'training.studio', '--model', '/missing', capture_errors=True)
  assert result.returncode
  assert 'Error: /missing is no export' in result.stderr


def test_white_comes_back_if_its_bits_do():
  # Of 5 bits white is 248, but what is drawn beyond the last bin is 255.
  image = np.full((2, 2, 1), 255, np.uint8)
  for back, said in ((248, 'comes back exactly'), (240, '4 of 4 pixels')):
    model = types.SimpleNamespace(
        bins=lambda images: images >> 3 << 3,
        come_back=lambda images, label, back=back: served.Pictures(
            np.full_like(images, back), np.array([True])))
    tab = object.__new__(judge.Judge)
    tab._model = model
    assert said in tab._way_back(image, None)
