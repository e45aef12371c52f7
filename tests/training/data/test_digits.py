import numpy as np
import pytest
import sklearn.datasets

from training.data import digits


def test_images_are_uint8_with_labels():
  for images, labels in digits.load_data():
    assert images.dtype == np.uint8 and images.shape[1:] == (8, 8, 1)
    assert labels.dtype == np.int32 and labels.shape == images.shape[:1]


def test_four_bits_keep_all_levels_but_the_brightest():
  levels = sklearn.datasets.load_digits().images.astype(int)
  (train, _), (held_out, _) = digits.load_data()
  kept = np.concatenate([train, held_out])[..., 0] >> 4
  np.testing.assert_array_equal(
      np.bincount(kept.ravel()),
      np.bincount(np.minimum(levels, 15).ravel()))
  assert max(train.max(), held_out.max()) == 255


def test_each_image_is_in_one_part_and_keeps_its_label():
  (train, train_labels), (held_out, held_out_labels) = digits.load_data()
  data = sklearn.datasets.load_digits()
  expected = sorted((np.minimum(16 * image, 255).astype(int).tolist(), label)
                    for image, label in zip(data.images, data.target))
  images = np.concatenate([train, held_out])[..., 0]
  labels = np.concatenate([train_labels, held_out_labels])
  assert sorted(zip(images.astype(int).tolist(), labels)) == expected
  assert len(held_out) == 297


def test_the_split_is_shuffled_and_repeats():
  (first, labels), _ = digits.load_data()
  (again, _), _ = digits.load_data()
  (other, _), _ = digits.load_data(seed=1)
  np.testing.assert_array_equal(first, again)
  assert np.any(first != other)
  # The file has the classes in turn: 0, 1, 2, ...
  assert labels[:10].tolist() != list(range(10))


@pytest.mark.parametrize('num_held_out', [0, 1797])
def test_a_part_must_not_be_empty(num_held_out):
  with pytest.raises(ValueError, match='num_held_out'):
    digits.load_data(num_held_out)
