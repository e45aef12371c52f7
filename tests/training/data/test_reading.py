import logging
import re

import numpy as np
import pytest

from training.data import reading


@pytest.mark.parametrize('bits, dtype, values, expected', [
    (None, np.uint8, [0, 7, 255], [0, 7, 255]),
    (None, np.uint16, [0, 255, 256, 65535], [0, 0, 1, 255]),
    (12, np.uint16, [0, 15, 16, 4095], [0, 0, 1, 255]),
    (10, np.uint16, [0, 4, 1023], [0, 1, 255]),
    (8, np.uint16, [0, 255], [0, 255]),
    (4, np.uint16, [0, 1, 15], [0, 16, 240]),
    (12, np.uint8, [0, 7, 255], [0, 7, 255]),  # has no room for 12
    (4, np.uint8, [0, 1, 15], [0, 16, 240]),
    (1, np.uint8, [0, 1], [0, 128]),
    (12, np.int32, [0, 16, 4095], [0, 1, 255]),
])
def test_the_highest_eight_of_the_bits_are_taken(bits, dtype, values, expected):
  found = reading.Reading(bits)
  brought = found.to_top(np.array(values, dtype), 'a.png')
  assert brought.dtype == np.uint8
  assert brought.tolist() == expected
  found.check()


@pytest.mark.parametrize('bits, dtype, value', [
    (12, np.uint16, 4096), (4, np.uint8, 16), (12, np.int32, 1 << 20)])
def test_values_that_need_more_bits_are_refused(bits, dtype, value):
  found = reading.Reading(bits)
  found.to_top(np.array([value, 3], dtype), 'a.png')
  with pytest.raises(
      ValueError, match=f'`bits` is {bits}, but a.png has the value {value:,}'):
    found.check()


@pytest.mark.parametrize('bits, dtype, values, warning', [
    (None, np.uint16, [0, 4095], 'of 16 bits is 4095.*bits=12'),
    (None, np.uint16, [0, 16383], 'bits=14'),
    (None, np.uint8, [0, 9], 'of 8 bits is 9.*bits=4'),
    (None, np.uint8, [0, 0], 'of 8 bits is 0.*bits=1,'),
    (12, np.uint16, [0, 1023], 'bits=10'),
    (12, np.uint16, [0, 2048], ''),
    (None, np.uint16, [0, 32768], ''),
    (None, np.uint8, [0, 128], '')])
def test_an_empty_upper_half_of_the_range_is_told(
    bits, dtype, values, warning, caplog):
  found, other = reading.Reading(bits), reading.Reading(bits)
  other.to_top(np.array(values, dtype), 'b.png')
  found.add(other)
  with caplog.at_level(logging.WARNING, 'absl'):
    found.warn('mine')
  if warning:
    assert caplog.text.count('mine: the largest value') == 1
    assert re.search(warning, caplog.text)
  else:
    assert not caplog.text


def test_one_bright_split_is_enough(caplog):
  found, dark = reading.Reading(), reading.Reading()
  found.to_top(np.array([255], np.uint8), 'a.png')
  dark.to_top(np.array([3], np.uint8), 'b.png')
  found.add(dark)
  with caplog.at_level(logging.WARNING, 'absl'):
    found.warn('mine')
  assert not caplog.text


def test_what_becomes_of_other_values_than_of_8_bits():
  found = reading.Reading()
  found.to_top(np.array([255], np.uint8), '')
  assert found.conversions() == []
  found.to_top(np.array([255], np.uint16), '')
  assert found.conversions() == ['Of values of 16 bits, the upper 8 are taken.']
  found = reading.Reading(12)
  found.to_top(np.array([255], np.uint16), '')
  assert found.conversions() == [
      'Of values of 16 bits, the upper 8 of the lower 12 are taken.']
