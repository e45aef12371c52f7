"""The orders of channels."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow as tg


def expected_channel(order, dy, dx, c, channels):
  if order == 'channel_major':
    return c * 4 + dy * 2 + dx
  positions = {'position_major': [(0, 0), (0, 1), (1, 0), (1, 1)],
               'alternating': [(0, 0), (1, 1), (0, 1), (1, 0)]}[order]
  return positions.index((dy, dx)) * channels + c


@pytest.mark.parametrize(
    'order', ['channel_major', 'position_major', 'alternating'])
def test_each_value_goes_where_the_formula_says(order):
  height, width, channels = 4, 6, 3
  y = np.random.default_rng(0).standard_normal(
      (2, height, width, channels)).astype(np.float32)
  x = tg.Squeeze(order).inverse(y).numpy()
  for row in range(height):
    for column in range(width):
      for c in range(channels):
        channel = expected_channel(order, row % 2, column % 2, c, channels)
        np.testing.assert_array_equal(
            x[:, row // 2, column // 2, channel], y[:, row, column, c])


def test_position_major_is_space_to_depth():
  y = tf.random.normal([2, 4, 4, 3])
  np.testing.assert_array_equal(
      tg.Squeeze('position_major').inverse(y), tf.nn.space_to_depth(y, 2))
  assert np.any(tg.Squeeze().inverse(y) != tf.nn.space_to_depth(y, 2))


def test_event_shapes_are_known_without_data():
  squeeze = tg.Squeeze()
  assert squeeze.inverse_event_shape([4, 6, 3]) == [2, 3, 12]
  assert squeeze.forward_event_shape([2, 3, 12]) == [4, 6, 3]
  np.testing.assert_array_equal(
      squeeze.inverse_event_shape_tensor([4, 6, 3]), [2, 3, 12])
  np.testing.assert_array_equal(
      squeeze.forward_event_shape_tensor([2, 3, 12]), [4, 6, 3])


def test_a_chain_tells_event_shapes_in_graphs_too():
  chain = tg.bijectors.Chain(
      [tg.bijectors.Squeeze(), tg.bijectors.ActNorm(12),
       tg.bijectors.Squeeze()])
  assert list(chain.inverse_event_shape_tensor([4, 8, 3])) == [1, 2, 48]
  assert list(chain.forward_event_shape_tensor([1, 2, 48])) == [4, 8, 3]
