"""Images of more than 8 bits, and of any number of channels."""

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf
import tifffile

from tests.training.data import files
from training import data
from training.data import image_folder
from training.data import reading


def _random(shape, largest, seed=0):
  values = np.random.default_rng(seed).integers(0, largest + 1, shape)
  values.flat[0] = largest
  return values.astype(np.uint8 if largest < 256 else np.uint16)


def _evaluated(config, num_bits):
  return files.all_of(data.open(config, num_bits=num_bits).eval_batches(50))


@pytest.mark.parametrize('bits, dtype, values, expected', [
    (None, np.uint16, [0, 7, 65535], [0, 7, 65535]),
    (12, np.uint16, [0, 1, 4095], [0, 16, 65520]),
    (None, np.uint8, [0, 1, 255], [0, 256, 65280]),
    (4, np.uint8, [0, 15], [0, 61440]),
    (20, np.int32, [0, 16, 1048575], [0, 1, 65535])])
def test_values_are_brought_to_the_top_of_16_bits(
    bits, dtype, values, expected):
  found = reading.Reading(bits, depth=16)
  brought = found.to_top(np.array(values, dtype), 'a.png')
  assert brought.dtype == np.uint16
  assert brought.tolist() == expected
  found.check()


@pytest.mark.parametrize('fields', [
    {}, {'flip': True, 'shift': (1, 1)}, {'shift': .2}, {'mutate': .5},
    {'channels': 1}, {'pad': 1}, {'image_size': 4}])
def test_arrays_keep_their_bits_in_every_field(config, save_images, fields):
  images = _random((12, 8, 8, 3), 4095)
  config.update(name=save_images(train=images, test=images), bits=12, **fields)
  opened = data.open(config, num_bits=12)
  batch = opened.train_examples(12, 0)
  assert batch.dtype == np.uint16
  assert batch.shape[1:] == opened.image_shape
  assert len(np.unique(batch)) > 500 and batch.max() > 2**15
  evaluated = _evaluated(config, 12)
  assert evaluated.dtype == np.uint16
  if not fields.keys() & {'channels', 'pad', 'image_size'}:
    np.testing.assert_array_equal(evaluated, images << 4)
  np.testing.assert_array_equal(_evaluated(config, 8) if not fields else 0,
                                images >> 4 if not fields else 0)


@pytest.mark.parametrize('name', ['grey.png', 'colours.png', 'grey.tif',
                                  'colours.tif'])
def test_files_of_16_bits_are_read_whole(config, folder, name):
  values = _random((4, 4) if 'grey' in name else (4, 4, 3), 4095)
  for split in ('train', 'test'):
    path = folder / split / name
    path.parent.mkdir()
    if name == 'colours.png':
      path.write_bytes(tf.io.encode_png(values).numpy())
    elif name == 'colours.tif':
      tifffile.imwrite(path, values, photometric='rgb')
    else:
      Image.fromarray(values).save(path)
  config.update(name=f'image_folder:{folder}', bits=12)
  expected = np.broadcast_to(
      values if values.ndim == 3 else values[..., None], (4, 4, 3))
  np.testing.assert_array_equal(_evaluated(config, 12)[0], expected << 4)
  np.testing.assert_array_equal(_evaluated(config, 8)[0], expected >> 4)


def test_files_that_say_their_range_are_brought_to_the_top(config, folder):
  values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 16
  for split in ('train', 'test'):
    (folder / split).mkdir()
    (folder / split / 'a.pgm').write_bytes(
        b'P5 8 8 1023\n' + values.astype('>u2').tobytes())
  for bits in (None, 12):  # there is no room for 12
    config.update(name=f'image_folder:{folder}', bits=bits)
    read = _evaluated(config, 10)[0]
    np.testing.assert_array_equal(read[..., 0], values << 6)


@pytest.mark.parametrize('num_bits, bits, dtype, filled', [
    (12, None, np.uint8, 8), (12, 10, np.uint16, 10), (9, None, np.uint8, 8)])
def test_more_bits_than_values_fill_are_refused(
    config, save_images, num_bits, bits, dtype, filled):
  images = _random((12, 4, 4, 1), 255).astype(dtype)
  config.update(name=save_images(images=images), bits=bits)
  with pytest.raises(ValueError, match=(
      f'`model.num_bits` is {num_bits}, but the values of .* fill {filled} b')):
    data.open(config, num_bits=num_bits)


def test_what_becomes_of_values_is_told(config, save_images):
  images = _random((12, 4, 4, 1), 4095)
  config.update(name=save_images(images=images), bits=12)
  assert data.open(config, num_bits=12).description.endswith(
      'Of values of 16 bits, the lower 12 are brought to the top of 16.')
  assert 'the upper 8 of the lower 12' in data.open(config).description


@pytest.mark.parametrize('channels', [2, 5])
def test_arrays_have_any_number_of_channels(config, save_images, channels):
  images = _random((12, 4, 4, channels), 255)
  config.name = save_images(train=images, test=images)
  assert data.open(config).image_shape == (4, 4, channels)
  np.testing.assert_array_equal(_evaluated(config, 8), images)
  config.channels = 1
  with pytest.raises(ValueError, match=(
      f'`channels` is 1, but images have {channels}: only those of 1 or 3')):
    data.open(config)


@pytest.mark.parametrize('arguments', [
    {}, {'planarconfig': 'separate'}, {'compression': 'zlib'},
    {'byteorder': '>'}])
@pytest.mark.parametrize('largest', [255, 65535])
def test_tiff_of_five_channels(config, folder, largest, arguments):
  values = _random((6, 4, 5), largest)
  stored = values
  if 'planarconfig' in arguments:
    stored = np.moveaxis(values, -1, 0)
  for split in ('train', 'test'):
    (folder / split).mkdir()
    tifffile.imwrite(folder / split / 'a.tif', stored,
                     photometric='minisblack', **{
                         'planarconfig': 'contig', **arguments})
  config.name = f'image_folder:{folder}'
  read, = _evaluated(config, 8)
  np.testing.assert_array_equal(read, values >> (8 if largest > 255 else 0))
  if largest > 255:
    np.testing.assert_array_equal(_evaluated(config, 16)[0], values)


def test_alpha_is_no_channel_and_others_are_skipped(
    config, folder, open_folder):
  values = _random((4, 4, 4), 255)
  for split in ('train', 'test'):
    (folder / split).mkdir()
    tifffile.imwrite(folder / split / 'a.tif', values, photometric='rgb',
                     extrasamples=['unassalpha'])
  np.testing.assert_array_equal(
      files.all_of(open_folder().eval_batches(1))[0], values[..., :3])
  tifffile.imwrite(folder / 'test' / '0.tif', values,
                   photometric='minisblack', planarconfig='contig')
  with pytest.raises(ValueError, match='no image can be read:\n  train/a.tif: '
                                       'it has 3 channels, but the first image '
                                       'has 4'):
    open_folder()


def test_an_image_is_the_right_way_up(tmp_path):
  values = _random((4, 6, 5), 255)
  tifffile.imwrite(tmp_path / 'a.tif', values, photometric='minisblack',
                   planarconfig='contig',
                   extratags=[(274, 'H', 1, 6, True)])
  np.testing.assert_array_equal(
      image_folder.read_image(tmp_path / 'a.tif'), np.rot90(values, -1))


def test_values_that_are_no_integers_are_told(folder, open_folder):
  for split in ('train', 'test'):
    (folder / split).mkdir()
    tifffile.imwrite(folder / split / 'a.tif', np.zeros((4, 4, 5), np.float32),
                     photometric='minisblack', planarconfig='contig')
  with pytest.raises(ValueError, match='pixels of float32, but uint8 or'):
    open_folder()
