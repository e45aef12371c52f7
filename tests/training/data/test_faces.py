import itertools

import numpy as np
import pytest

from training import data
from training.data import avatars


@pytest.fixture(scope='module')
def many():
  return avatars.faces(4000)


def test_the_same_faces_come_again_and_others_of_another_seed(many):
  assert avatars.faces(50) == many[:50]
  assert not set(avatars.faces(50, seed=1)) & set(many[:50])
  np.testing.assert_array_equal(avatars.draw(many[3]), avatars.draw(many[3]))


def test_no_two_faces_look_the_same(many):
  images = {avatars.draw(face).tobytes() for face in many[:200]}
  assert len(images) == 200
  # What does not show makes no other face.
  bald = many[0]._replace(hair='NONE', beard=False, glasses=False)
  np.testing.assert_array_equal(*(
      avatars.draw(bald._replace(hair_color=colour, kind_of_glasses=glasses))
      for colour, glasses in (('RED', 'ROUND'), ('BLACK', 'PRESCRIPTION_2'))))
  shown = {face if face.hair != 'NONE' or face.beard
           else face._replace(hair_color='') for face in many}
  shown = {face if face.glasses else face._replace(kind_of_glasses='')
           for face in shown}
  assert len({face if face.beard else face._replace(kind_of_beard='')
              for face in shown}) == len(many)


def test_attributes_are_independent(many):
  names = ('smile', 'glasses', 'beard', 'hair', 'hair_color', 'skin',
           'background', 'clothes')
  for a, b in itertools.combinations(names, 2):
    values_a, values_b = (
        sorted({getattr(face, name) for face in many}) for name in (a, b))
    counts = np.zeros([len(values_a), len(values_b)])
    for face in many:
      counts[values_a.index(getattr(face, a)),
             values_b.index(getattr(face, b))] += 1
    expected = len(many) / counts.size
    # Each value of chi squared has about one of these as mean and variance/2.
    freedom = counts.size - 1
    chi_squared = np.sum((counts - expected) ** 2) / expected
    assert chi_squared < freedom + 5. * np.sqrt(2. * freedom), (a, b)


@pytest.mark.parametrize('attribute, values, rows', [
    ('smile', [False, True], (18, 26)), ('glasses', [False, True], (11, 18)),
    ('beard', [False, True], (12, 28))])
def test_an_attribute_changes_its_part_of_the_face_alone(
    many, attribute, values, rows):
  face = many[0]._replace(hair='SHORT_FLAT', smile=False, beard=False)
  off, on = (avatars.draw(face._replace(**{attribute: value})).astype(int)
             for value in values)
  changed = np.any(off != on, axis=(1, 2)).nonzero()[0]
  assert len(changed) and rows[0] <= changed[0] and changed[-1] < rows[1]


@pytest.mark.parametrize('hair', avatars.HAIR[1:])
def test_every_style_has_the_colour_of_its_hair(many, hair):
  face = many[0]._replace(hair=hair, beard=False, background='BLUE')
  dark, light = (avatars.draw(face._replace(hair_color=colour)).astype(int)
                 for colour in ('BLACK', 'PLATINUM'))
  assert np.any(dark != light)
  changed = np.abs(dark - light).sum(-1) > 300
  # Nothing keeps a colour of its own where hair is.
  red = avatars.draw(face._replace(hair_color='RED')).astype(int)[changed]
  assert np.all(red[:, 0] > red[:, 2])


def test_sizes_show_the_same_faces(many):
  for face in many[:5]:
    small, large = avatars.draw(face), avatars.draw(face, 64)
    assert small.shape == (32, 32, 3) and large.shape == (64, 64, 3)
    shrunk = large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 4.


def test_a_data_set_has_the_faces_and_their_attributes(config, many):
  config.name = 'faces/32x32_60'
  images = data.open(config)
  assert images.image_shape == (32, 32, 3) and images.class_names is None
  assert (images.num_train, images.num_eval) == (54, 6)
  held_out = next(images.eval_batches(6).as_numpy_iterator())
  np.testing.assert_array_equal(
      held_out, [avatars.draw(face) for face in many[54:60]])
  assert images.attributes['smile'] == ['no', 'yes']
  for name, values in images.attributes.items():
    stored = [values[number] for number in images.eval_attribute(name)]
    want = [getattr(face, name) for face in many[54:60]]
    assert stored == [{True: 'yes', False: 'no'}.get(value, value)
                      for value in want]
  config.update(train_split='test', eval_split='train')
  np.testing.assert_array_equal(
      data.open(config).eval_attribute('beard'),
      [face.beard for face in many[:54]])
  with pytest.raises(ValueError, match="'moustache' is no attribute.*: smile"):
    images.eval_attribute('moustache')


@pytest.mark.parametrize('name', [
    'faces/48x48', 'faces/32x32_9', 'faces/32', 'faces/32x32_', 'faces/'])
def test_there_are_no_other_sizes(config, name):
  config.name = name
  with pytest.raises(ValueError, match=f"`name` is '{name}', but there are"):
    data.open(config)
