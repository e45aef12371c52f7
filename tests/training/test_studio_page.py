"""The page, in a browser: what is moved, and the pixels that come of it."""

import io
import shutil
import time

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

import tfp_glow
from training.studio import page as page_lib
from training.studio import pictures
from training.studio import screenshots
from training.studio import served

pytestmark = pytest.mark.skipif(
    not shutil.which('chromium'),
    reason='there is no Chromium (`apt-get install chromium`)')

SHAPE = (8, 8, 3)
COUNT, COLUMNS = 24, 6  # of the grid
IN_TURN = np.arange(COUNT) % 3


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  """A model of three classes and five bits, with random weights."""
  flow = tfp_glow.Glow(SHAPE, levels=2, steps=1, width=4, num_classes=3,
                       scale='bounded', seed=0)
  for i, variable in enumerate(flow.trainable_variables):
    variable.assign_add(.1 * tf.random.stateless_normal(
        variable.shape, [i, 0], dtype=variable.dtype))
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, [16, *SHAPE], np.uint8)
  labels = np.arange(16) % 3
  trained = tfp_glow.FlowModel(flow, num_bits=5, seed=0)
  trained.adapt(images, labels)
  directions = {
      name: generator.normal(size=trained.num_dims).astype(np.float32)
      for name in ('smile', 'hat')}
  return served.Model(tfp_glow.export_saved_model(
      trained, tmp_path_factory.mktemp('export'), directions,
      (images, labels)))


@pytest.fixture(scope='module')
def url(model):
  studio = page_lib.Page(model)
  yield studio.launch(block=False)
  studio.blocks.close()


@pytest.fixture(scope='module')
def chromium():
  with screenshots.browser() as chromium:
    yield chromium


@pytest.fixture(name='page')
def fixture_page(chromium, url):
  shown = screenshots.open_page(chromium, url)
  # Nothing that is asked of any other machine.
  shown.on('request', lambda request: requests.append(request.url))
  requests = []
  yield shown
  assert all(address.startswith((url, 'data:', 'blob:'))
             for address in requests)
  shown.close()


def pixels(page, name):
  """The picture that has an id, as it was sent; `None` if there is none."""
  # An empty `src` would be the page itself.
  source = page.evaluate(
      """name => {
        const image = document.querySelector(`#${name} img`);
        return image?.getAttribute('src') ? image.src : null;
      }""", name)
  if source is None:
    return None
  return np.asarray(Image.open(io.BytesIO(page.request.get(source).body())))


def assert_shows(page, name, want):
  """Waits for a picture to be the one that is wanted."""
  end = time.monotonic() + 20.
  while True:
    got = pixels(page, name)
    if got is not None and np.array_equal(got, want):
      return
    assert time.monotonic() < end, (name, got is not None and got.shape)
    page.wait_for_timeout(50)


def assert_says(page, name, text):
  page.wait_for_function(
      '([name, text]) => document.querySelector(`#${name}`)'
      '?.innerText.includes(text)', arg=[name, text], timeout=20_000)


def slide(page, label, value):
  tab = page.get_by_role('tabpanel').filter(visible=True)
  tab.get_by_label(f'range slider for {label}').fill(str(value))


def press(page, name, number=0):
  page.get_by_role('button', name=name, exact=True).filter(
      visible=True).nth(number).click()


def choose_class(page, label, name):
  page.get_by_label(label).filter(visible=True).click()
  page.get_by_role('option', name=name, exact=True).click()


def grid_of(model, seed, temperatures, label=IN_TURN):
  drawn = model.sample(
      [[seed, i] for i in range(COUNT)], temperatures, label)
  return drawn.images, pictures.grid(drawn.images, COLUMNS)


def start(model, number=0):
  """A picture that a tab begins with, and its class."""
  images, labels = model.examples([number])
  return images[0], int(labels[0])


def test_make(page, model):
  images, grid = grid_of(model, 0, [.7, .7])
  assert_shows(page, 'grid', grid)
  slide(page, 'Temperature of all levels', 1.2)
  assert_shows(page, 'grid', grid_of(model, 0, [1.2, 1.2])[1])
  slide(page, 'Level 1, the coarsest', .3)
  assert_shows(page, 'grid', grid_of(model, 0, [1.2, .3])[1])
  slide(page, 'Level 0, the finest detail', 0)
  assert_shows(page, 'grid', grid_of(model, 0, [0., .3])[1])
  press(page, 'Another seed')
  assert_shows(page, 'grid', grid_of(model, 1, [0., .3])[1])
  page.locator('#seed input').fill('5')
  assert_shows(page, 'grid', grid_of(model, 5, [0., .3])[1])
  choose_class(page, 'Class', '2')
  images, grid = grid_of(model, 5, [0., .3], 2)
  assert_shows(page, 'grid', grid)


@pytest.mark.slow
def test_what_is_made_is_taken_on(page, model):
  images, grid = grid_of(model, 0, [.7, .7])
  assert_shows(page, 'grid', grid)
  # The second row's third, number 8, of class 2, though the page scales it.
  box = page.locator('#grid img').bounding_box()
  page.locator('#grid img').click(position={
      'x': box['width'] * 2.5 / COLUMNS, 'y': box['height'] * 1.5 / 4})
  picture = pictures.enlarge(images[8])
  assert_shows(page, 'chosen', picture)
  for button, name in [('Change it', 'picture'),
                       ('Mix it, as the first', 'first'),
                       ('Mix it, as the second', 'second'),
                       ('Judge it', 'judged')]:
    press(page, button)
    assert_shows(page, name, picture)
    if name == 'picture':
      slide(page, 'hat', 2)
      assert_shows(page, 'changed', pictures.enlarge(
          model.change(images[8], [0., 2.], 2).images[0]))
    screenshots.open_tab(page, 'Make')


@pytest.mark.slow
def test_change(page, model):
  screenshots.open_tab(page, 'Change')
  image, label = start(model)
  assert_shows(page, 'picture', pictures.enlarge(image))

  def changed(*strengths, label=label):
    return pictures.enlarge(model.change(image, strengths, label).images[0])

  assert_shows(page, 'changed', changed(0., 0.))
  slide(page, 'smile', 1.5)
  assert_shows(page, 'changed', changed(1.5, 0.))
  slide(page, 'hat', -1)
  assert_shows(page, 'changed', changed(1.5, -1.))
  choose_class(page, 'Class', '2')
  assert_shows(page, 'changed', changed(1.5, -1., label=2))
  press(page, 'Reset')
  assert_shows(page, 'changed', changed(0., 0., label=2))
  press(page, 'From the data')
  image, label = start(model, 1)
  assert_shows(page, 'picture', pictures.enlarge(image))
  assert_shows(page, 'changed', changed(0., 0.))
  press(page, 'Draw one')
  image = model.sample([[2, 0]], [.7, .7], 1).images[0]
  assert_shows(page, 'picture', pictures.enlarge(image))


@pytest.mark.slow
def test_mix(page, model):
  screenshots.open_tab(page, 'Mix')
  (a, _), (b, label) = start(model), start(model, 1)

  def mixed(weight, on_arc):
    return pictures.enlarge(
        model.between(a, b, [weight], on_arc, label).images[0])

  def film(on_arc):
    return model.between(a, b, np.linspace(0., 1., 15), on_arc, label).images

  assert_shows(page, 'mixed', mixed(.5, False))
  slide(page, 'From first to second', .2)
  assert_shows(page, 'mixed', mixed(.2, False))
  assert_shows(page, 'strip', pictures.grid(film(False)[::2], 8))
  page.get_by_label('arc').click()
  strip = pictures.grid(film(True)[::2], 8)
  assert_shows(page, 'mixed', mixed(.2, True))
  assert_shows(page, 'strip', strip)
  files = []
  for name in ('GIF', 'PNG'):
    with page.expect_download() as download:
      press(page, f'Download as {name}')
    files.append(Image.open(download.value.path()))
  assert files[0].n_frames == 28
  np.testing.assert_array_equal(np.asarray(files[1]), strip)


@pytest.mark.slow
def test_judge(page, model):
  screenshots.open_tab(page, 'Judge')
  image, label = start(model)
  bits = model.bits_per_dim(image[None], label)[0]
  assert_says(page, 'verdict', f'{bits:.3f} bits/dim')
  assert_says(page, 'verdict', 'of 16 held-out images')
  assert_says(page, 'histogram', f'this picture, {bits:.2f}')
  assert_says(page, 'returned', 'It comes back exactly')

  def levels(temperature, seed):
    cells = []
    for row in range(3):
      anew = model.resample(
          image, [[True, False], [True, True]], [[seed, row]] * 2,
          temperature, label).images
      cells += [image, *anew]
    return pictures.grid(np.stack(cells), 3)

  assert_shows(page, 'levels', levels(.7, 0))
  slide(page, 'Temperature of what is drawn', 1.2)
  assert_shows(page, 'levels', levels(1.2, 0))
  press(page, 'Draw again')
  assert_shows(page, 'levels', levels(1.2, 1))


@pytest.mark.slow
def test_ones_own_picture_is_cropped(page, model, tmp_path):
  screenshots.open_tab(page, 'Change')
  assert_shows(page, 'picture', pictures.enlarge(start(model)[0]))
  # Four colours, each in a quarter of 16x16 pixels.
  quarters = np.array([[[248, 0, 0], [0, 248, 0]],
                       [[0, 0, 248], [248, 248, 0]]], np.uint8)
  path = tmp_path / 'own.png'
  Image.fromarray(quarters.repeat(64, 0).repeat(64, 1)).save(path)
  send = page.locator('#picture-upload').locator('xpath=..').locator(
      'input[type=file]').first
  send.set_input_files(path)
  assert_says(page, 'picture-says', 'cut to 8 x 8 pixels, 5 bits each')
  slide(page, 'Zoom', 2)
  for across, down in [(0, 0), (1, 0), (0, 1), (1, 1)]:
    slide(page, 'Left to right', across)
    slide(page, 'Top to bottom', down)
    assert_shows(page, 'picture', np.broadcast_to(
        quarters[down, across], [256, 256, 3]))
  (tmp_path / 'bad.png').write_bytes(b'no picture')
  send.set_input_files(tmp_path / 'bad.png')
  assert_says(page, 'picture-says', 'no picture that can be read')


@pytest.mark.slow
def test_a_thousand_questions(page, model):
  """Dragging, and nothing that grows with it."""
  import psutil

  screenshots.open_tab(page, 'Change')
  image, label = start(model)

  def drag(count):
    for i in range(count):
      slide(page, 'smile', round(.1 * (i % 30), 1))
      if i % 5 == 0:
        page.wait_for_timeout(20)
    slide(page, 'smile', -1)
    assert_shows(page, 'changed', pictures.enlarge(
        model.change(image, [-1., 0.], label).images[0]))
    slide(page, 'smile', 0)

  drag(100)
  before = psutil.Process().memory_full_info().uss
  drag(1000)
  assert psutil.Process().memory_full_info().uss - before < 2**26
