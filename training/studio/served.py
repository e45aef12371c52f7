"""A SavedModel as the page asks it: arrays in, pictures out."""

import pathlib
import typing

import numpy as np
import tensorflow as tf

_NEEDED = ('log_prob', 'encode', 'decode', 'sample_levels', 'resample_levels',
           'interpolate', 'interpolate_spherical', 'describe')
_HATCH = 4  # pixels


class Pictures(typing.NamedTuple):
  """Images uint8 `[N, H, W, C]`, and which of them are pictures, `[N]`.

  Those that are not finite are hatched, so that no one takes them for any.
  """

  images: np.ndarray
  finite: np.ndarray

  def complaint(self):
    """A sentence on those that are not finite, `''` if all are."""
    broken = int(np.sum(~self.finite))
    if not broken:
      return ''
    return (f'{broken} of {len(self.finite)} broke down (values that are not '
            'finite) and are hatched: lower temperatures and strengths help.')


class Model:
  """An export of `tfp_glow.export_saved_model`, loaded by TensorFlow alone.

  Images are uint8 `[N, H, W, C]` as the model sees them: with `num_bits` bits
  of each pixel. `label` is an integer for all rows or one for each; models
  without classes are given `None`.
  """

  def __init__(self, path: str):
    """Loads an export.

    Args:
      path: Its folder, or that of its versions, of which the newest is taken.

    Raises:
      ValueError: If there is no export, or it lacks what the page needs.
    """
    self.path = _newest(path)
    # The signatures do not keep the variables alive, this does.
    self._loaded = tf.saved_model.load(str(self.path))
    self._signatures = self._loaded.signatures
    missing = [name for name in _NEEDED if name not in self._signatures]
    if missing:
      raise ValueError(
          f'{self.path} has no signature `{missing[0]}`: export the model '
          'again, with this version of tfp_glow.')
    told = {'feature_map', 'context'} & set(
        self._signatures['encode'].structured_input_signature[1])
    if told:
      raise ValueError(
          f'{self.path} has a model that is told `{min(told)}`, for which the '
          'page has no place.')
    facts = {name: value[0] for name, value in
             self._ask('describe', row=[0]).items()}
    self.attributes = [name.decode() for name in facts['attributes']]
    self.image_shape = tuple(map(int, facts['image_shape']))
    if self.image_shape[-1] not in (1, 3):
      raise ValueError(
          f'{self.path} has images of {self.image_shape[-1]} channels, but 1 '
          '(grey) or 3 (RGB) can be shown.')
    self.num_bits = int(facts['num_bits'])
    if self.num_bits > 8:
      raise ValueError(
          f'{self.path} has images of {self.num_bits} bits, but up to 8 can be '
          'shown.')
    self.num_levels = len(facts['latent_shapes'])
    self.num_classes = int(facts['num_classes'])
    self.num_examples = int(facts['num_examples'])
    self._warm_up()

  def bins(self, images):
    """Images as the model sees them, the bits that it leaves out zero."""
    shift = max(8 - self.num_bits, 0)
    return np.asarray(images, np.uint8) >> shift << shift

  def sample(self, seeds, temperatures, label=None) -> Pictures:
    """New images.

    Args:
      seeds: Integers `[N, 2]`.
      temperatures: Floats `[L]`, one for each level.
      label: See the class.
    """
    return self._pictures(
        'sample_levels', label, seed=seeds,
        temperatures=np.tile(temperatures, [len(seeds), 1]))

  def change(self, image, strengths, label=None) -> Pictures:
    """An image `[H, W, C]` moved along all attributes by `strengths` `[A]`."""
    return self._pictures(
        'manipulate_all', label, images=image[None], strengths=[strengths])

  def between(self, a, b, weights, on_arc, label=None) -> Pictures:
    """Images between two, `[H, W, C]` each, at `weights` `[N]`."""
    name = 'interpolate_spherical' if on_arc else 'interpolate'
    a, b = (np.tile(image, [len(weights), 1, 1, 1]) for image in (a, b))
    return self._pictures(
        name, label, images_a=a, images_b=b, weight=weights)

  def resample(self, image, levels, seeds, temperature, label=None) -> Pictures:
    """An image with some levels drawn anew, `levels` bool `[N, L]`."""
    count = len(levels)
    return self._pictures(
        'resample_levels', label, images=np.tile(image, [count, 1, 1, 1]),
        levels=levels, seed=seeds, temperature=np.full(count, temperature))

  def come_back(self, images, label=None) -> Pictures:
    """What decoding makes of the images' latents."""
    latents = self._ask('encode', label, images=images)['latents']
    return self._pictures('decode', label, latents=latents)

  def bits_per_dim(self, images, label=None) -> np.ndarray:
    """Bits/dim `[N]`, with noise that is always the same."""
    return self._ask('log_prob', label, images=images)['bits_per_dim']

  def examples(self, index):
    """Images that came with the export, and their labels or `None`."""
    answer = self._ask('examples', index=index)
    return self.bins(answer['images']), answer.get('label')

  def _warm_up(self):
    """Asks everything once: first answers take longest."""
    image = np.zeros(self.image_shape, np.uint8)
    label = 0 if self.num_classes else None
    self.sample([[0, 0]], [0.] * self.num_levels, label)
    self.resample(image, [[False] * self.num_levels], [[0, 0]], 0., label)
    self.come_back(image[None], label)
    self.bits_per_dim(image[None], label)
    for on_arc in (False, True):
      self.between(image, image, [0.], on_arc, label)
    if self.attributes:
      self.change(image, [0.] * len(self.attributes), label)

  def _pictures(self, name, label, **inputs):
    answer = self._ask(name, label, **inputs)
    images, finite = answer['images'].copy(), answer['finite']
    rows, columns = np.indices(self.image_shape[:2])
    hatch = np.where((rows + columns) // (_HATCH // 2) % 2, 255, 0)
    images[~finite] = hatch[..., None]
    return Pictures(images, finite)

  def _ask(self, name, label=None, **inputs):
    function = self._signatures[name]
    specs = function.structured_input_signature[1]
    if 'label' in specs:
      rows = len(next(iter(inputs.values())))
      inputs['label'] = np.broadcast_to(label, [rows])
    answer = function(**{
        key: tf.constant(np.asarray(value), specs[key].dtype)
        for key, value in inputs.items()})
    return {key: value.numpy() for key, value in answer.items()}


def faces(folder):
  """Exports the faces that come with the package to a folder.

  Args:
    folder: Path.

  Returns:
    path: Python `str`, the export's.
  """
  # An export of one's own needs none of the library.
  import tfp_glow
  print('Preparing the faces that come with the package ...', flush=True)
  model = tfp_glow.pretrained('faces')
  return tfp_glow.export_saved_model(
      model, folder, model.directions, model.examples)


def _newest(path):
  """The folder of an export, or of the newest of its versions."""
  path = pathlib.Path(path).expanduser()
  if (path / 'saved_model.pb').exists():
    return path
  versions = [] if not path.is_dir() else [
      folder for folder in path.iterdir()
      if folder.name.isdigit() and (folder / 'saved_model.pb').exists()]
  if not versions:
    raise ValueError(
        f'{path} is no export: there is no saved_model.pb in it, nor in a '
        'folder of it that is a number. `python -m training.export` makes one.')
  return max(versions, key=lambda folder: int(folder.name))
