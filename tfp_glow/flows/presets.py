"""The settings of the papers' runs, by name.

```python
preset = tfp_glow.presets.get('glow_cifar10')
model = preset.model(seed=0)
```

`PRESETS` has every run of the README of Glow's program [1], and those of the
RealNVP paper [4] and of the README of its program [5]. What no source states
is `None`. None has been reproduced here: `bits_per_dim` is what was published.

#### Where the numbers come from

Glow. Levels, steps, coupling, permutation, bits, learned top, classes,
`weight_y` and learning rate are on the command lines of the README [1], and
width, optimizer (Adamax with `beta_1=0.9` and `beta_2 = 1 - 1 / 98`, one over
the steps of an epoch on 8 workers) and warm-up are `train.py`'s defaults [2].
It takes 64 images of 32x32 for each of its workers, 8 or 40, and fewer of
larger ones in proportion to their area; the learning rate rises linearly until
10 x 50,000 images *of 32x32* would have been seen at that rate, which
`warmup_steps` is in steps. CIFAR-10 is shifted, LSUN for RealNVP's comparison
is cropped (`data_loaders/` [2]), no other is augmented. Bits/dim are those of
Table 2, and for CelebA-HQ, at 5 bits, of Table 3, of the paper [3].

The paper differs from its program in places: it says Adam, and its Table 4 has
4 levels for LSUN 64 where the command line has 3. It also has results at 5
bits for CIFAR-10 (1.67) and ImageNet 32 (1.99) and 64 (1.76), but not whether
they are of the class-conditional runs, which have `None` here. The paper's
tables were taken from a published summary of it, not from its own text.

RealNVP. Scales, residual blocks, width, batch, preprocessing, flips and crops
are from Section 4.1 of the paper [4], bits/dim from its Table 1. It optimizes
with Adam's default settings; that there is no warm-up, and that gradients are
clipped to a global norm of 100, is in its program [5], which has no CIFAR-10.
The runs named `..._readme` are the README's [5], which has 4 residual blocks
where the paper says 2.

#### References

[1]: https://github.com/openai/glow, `README.md`.
[2]: https://github.com/openai/glow, `train.py` and `data_loaders/`.
[3]: Kingma and Dhariwal. Glow: Generative Flow with Invertible 1x1
     Convolutions. 2018. https://arxiv.org/abs/1807.03039
[4]: Dinh, Sohl-Dickstein and Bengio. Density estimation using Real NVP. 2016.
     https://arxiv.org/abs/1605.08803
[5]: https://github.com/tensorflow/models, `research/real_nvp`: `README.md` and
     `real_nvp_multiscale_dataset.py`.
"""

import dataclasses
import difflib
import math

from tfp_glow import model as model_lib
from tfp_glow.flows import glow
from tfp_glow.flows import real_nvp

_GLOW_README = 'README of openai/glow'
_GLOW_PAPER = 'Kingma and Dhariwal 2018'
_REAL_NVP_PAPER = 'Dinh, Sohl-Dickstein and Bengio 2016, Section 4.1'
_REAL_NVP_README = 'README of tensorflow/models, research/real_nvp'
_LSUN = ('bedroom', 'church_outdoor', 'tower')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
  """The settings of one run.

  Attributes:
    name: Python `str`.
    system: Python `str`, `'glow'` or `'real_nvp'`.
    dataset: Python `str`, which images.
    image_shape: `(H, W, C)`.
    levels: Python `int`, Glow's levels or RealNVP's scales.
    steps: Python `int`, Glow's steps of flow a level, or `None`.
    residual_blocks: Python `int`, of each of RealNVP's networks, or `None`.
    width: Python `int`, channels inside the couplings' networks.
    coupling: Python `str`, `'affine'` or `'additive'`.
    permutation: Python `str`, of Glow's steps, or `None`.
    num_bits: Python `int`, bits of each pixel that are modelled.
    learn_top: Python `bool`, whether Glow's top prior is learned.
    num_classes: Python `int`, of a class-conditional model, or `None`.
    weight_y: Python `float`, weight of the classifier's loss.
    preprocessing: Python `str`, `FlowModel`'s.
    augmentation: Tuple of Python `str`: `'shift'` by up to a tenth of either
      side, `'crop'` at random from images of 96 pixels on the smaller side,
      `'flip'` left to right at random.
    global_batch: Python `int`, images a step, of all workers together.
    optimizer: Python `str`, `'adam'` or `'adamax'`.
    learning_rate: Python `float`.
    warmup_steps: Python `int`, over which the learning rate rises from 0.
    gradient_clip: Python `float`, largest global norm of the gradients, or
      `None`.
    scale_l2: Python `float`, weight of the squares of RealNVP's magnitudes
      and rescaling scalars in the loss in nats, or `None`.
    bits_per_dim: Python `float`, as published, or `None` where it was not.
    source: Python `str`, where settings and bits/dim are from.
    notes: Python `str`, where sources differ or are silent.
    reproduced: Python `bool`, whether it was reproduced with this library.
  """

  name: str
  system: str
  dataset: str
  image_shape: tuple[int, int, int]
  levels: int
  steps: int | None = None
  residual_blocks: int | None = None
  width: int
  coupling: str = 'affine'
  permutation: str | None = None
  num_bits: int = 8
  learn_top: bool = False
  num_classes: int | None = None
  weight_y: float = 0.
  preprocessing: str
  augmentation: tuple[str, ...] = ()
  global_batch: int
  optimizer: str
  learning_rate: float = 1e-3
  warmup_steps: int = 0
  gradient_clip: float | None = None
  scale_l2: float | None = None
  bits_per_dim: float | None = None
  source: str
  notes: str = ''
  reproduced: bool = False

  def build(self, seed: int | None = None, memory: str = 'store',
           ) -> glow.Glow | real_nvp.RealNVP:
    """Builds the flow.

    Args:
      seed: Python `int` or `None`, of its weights. Default value: `None`.
      memory: Python `str`, `'store'` or `'recompute'`; see `Chain`.
        Default value: `'store'`.

    Returns:
      flow: `Glow` or `RealNVP`.
    """
    if self.system == 'real_nvp':
      return real_nvp.RealNVP(
          self.image_shape, scales=self.levels, width=self.width,
          residual_blocks=self.residual_blocks, memory=memory, seed=seed)
    return glow.Glow(
        self.image_shape, levels=self.levels, steps=self.steps,
        width=self.width, coupling=self.coupling,
        permutation=self.permutation, learn_top=self.learn_top,
        num_classes=self.num_classes, classifier=self.weight_y > 0.,
        memory=memory, seed=seed)

  def model(self, seed: int | None = None, memory: str = 'store',
           ) -> model_lib.FlowModel:
    """Builds the flow, and a `FlowModel` around it.

    Args:
      seed: Python `int` or `None`, of weights and noise. Default value:
        `None`.
      memory: Python `str`, `'store'` or `'recompute'`; see `Chain`.
        Default value: `'store'`.

    Returns:
      model: `FlowModel`, not compiled.
    """
    return model_lib.FlowModel(
        self.build(seed, memory), num_bits=self.num_bits,
        preprocessing=self.preprocessing, weight_y=self.weight_y, seed=seed)


def get(name: str) -> Preset:
  """Looks a preset up.

  Args:
    name: Python `str`, one of `PRESETS`.

  Returns:
    preset: `Preset`.

  Raises:
    KeyError: If there is none of that name; the message has the nearest.

  #### Examples

  >>> get('glow_cifar10').bits_per_dim
  3.35
  >>> get('glow_cifar')
  Traceback (most recent call last):
    ...
  KeyError: "There is no preset 'glow_cifar'; did you mean 'glow_cifar10'?..."
  """
  if name in PRESETS:
    return PRESETS[name]
  nearest = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.)[0]
  raise KeyError(
      f'There is no preset {name!r}; did you mean {nearest!r}? '
      'tfp_glow.presets.PRESETS lists them all.')


def _glow(name, dataset, size, levels, steps, *, workers=8, paper='',
          **kwargs):
  """One command line of Glow's README."""
  batch = 64 * 32**2 // size**2 * workers
  kwargs = {
      'coupling': 'affine', 'permutation': 'conv1x1', 'learn_top': True,
      'global_batch': batch, **kwargs}
  return Preset(
      name=f'glow_{name}', system='glow', dataset=dataset,
      image_shape=(size, size, 3), levels=levels, steps=steps, width=512,
      preprocessing='centered', optimizer='adamax',
      warmup_steps=math.ceil(10 * 50_000 / (64 * workers)),
      source=', '.join([_GLOW_README, *([paper] if paper else [])]), **kwargs)


def _real_nvp(name, dataset, size, scales, residual_blocks, width=32,
              source=f'{_REAL_NVP_PAPER} and Table 1', gradient_clip=100.,
              **kwargs):
  """One run of RealNVP's paper or README."""
  return Preset(
      name=f'real_nvp_{name}', system='real_nvp', dataset=dataset,
      image_shape=(size, size, 3), levels=scales, width=width,
      residual_blocks=residual_blocks, preprocessing='logit', global_batch=64,
      optimizer='adam', gradient_clip=gradient_clip, scale_l2=5e-5,
      source=source, **kwargs)


def _glow_presets():
  """Every run of Glow's README, in its order."""
  for permutation in ('reverse', 'shuffle', 'conv1x1'):
    for coupling in ('additive', 'affine'):
      yield _glow(
          f'cifar10_ablation_{permutation}_{coupling}', 'CIFAR-10', 32, 3, 32,
          permutation=permutation, coupling=coupling, augmentation=('shift',),
          notes='Three seeds each; published as curves alone (Figure 3).')
  table_2 = f'{_GLOW_PAPER}, Table 2'
  yield _glow('cifar10', 'CIFAR-10', 32, 3, 32, augmentation=('shift',),
              bits_per_dim=3.35, paper=table_2)
  yield _glow('imagenet_32', 'ImageNet 32x32 of van den Oord et al.', 32, 3,
              48, bits_per_dim=4.09, paper=table_2)
  yield _glow('imagenet_64', 'ImageNet 64x64 of van den Oord et al.', 64, 4,
              48, bits_per_dim=3.81, paper=table_2)
  for category, bits in zip(_LSUN, (2.38, 2.67, 2.46)):
    yield _glow(
        f'lsun_{category}_64', f'LSUN {category}', 64, 3, 48,
        augmentation=('crop',), bits_per_dim=bits, paper=table_2,
        notes='4 levels in Table 4 of the paper, 3 in the README.')
  yield _glow('celeba_hq_256', 'CelebA-HQ 256x256', 256, 6, 32, workers=40,
              coupling='additive', num_bits=5, bits_per_dim=1.03,
              paper=f'{_GLOW_PAPER}, Table 3')
  for category in _LSUN:
    yield _glow(
        f'lsun_{category}_96', f'LSUN {category}, centre cropped', 96, 5, 64,
        workers=40, coupling='additive', num_bits=5, global_batch=320,
        paper=f'{_GLOW_PAPER}, Table 5',
        notes='The batch is that of Table 5: the program takes 7 images a '
              'worker, 280, and refuses sides that are no power of 2.')
    yield _glow(
        f'lsun_{category}_128', f'LSUN {category}, centre cropped', 128, 5,
        64, workers=40, coupling='additive', num_bits=5)
  conditional = {
      'coupling': 'additive', 'num_bits': 5, 'weight_y': .01,
      'notes': 'Table 3 of the paper has 5 bits of these images, but not '
               'whether it was this run.'}
  yield _glow('cifar10_conditional', 'CIFAR-10', 32, 3, 32, num_classes=10,
              augmentation=('shift',), **conditional)
  yield _glow('imagenet_32_conditional', 'ImageNet, centre cropped', 32, 3,
              48, num_classes=1000, **conditional)


def _real_nvp_presets():
  """Every run of RealNVP's paper, then those of its README that differ."""
  yield _real_nvp(
      'cifar10', 'CIFAR-10', 32, 2, 8, width=64, augmentation=('flip',),
      gradient_clip=None, bits_per_dim=3.49,
      notes='The paper alone: the program has no CIFAR-10.')
  yield _real_nvp(
      'imagenet_32', 'ImageNet 32x32 of van den Oord et al.', 32, 4, 4,
      bits_per_dim=4.28)
  yield _real_nvp(
      'imagenet_64', 'ImageNet 64x64 of van den Oord et al.', 64, 5, 2,
      bits_per_dim=3.98)
  for category, bits in zip(_LSUN, (2.72, 3.08, 2.81)):
    yield _real_nvp(
        f'lsun_{category}_64', f'LSUN {category}', 64, 5, 2,
        augmentation=('crop', 'flip'), bits_per_dim=bits)
  yield _real_nvp(
      'celeba_64', 'CelebA, 148x148 of the centre resized to 64x64', 64, 5, 2,
      augmentation=('flip',), bits_per_dim=3.02)
  readme = {'source': _REAL_NVP_README,
            'notes': '4 residual blocks in the README, 2 in the paper.'}
  for category in _LSUN:
    yield _real_nvp(
        f'lsun_{category}_64_readme', f'LSUN {category}', 64, 5, 4,
        augmentation=('crop', 'flip'), **readme)
  yield _real_nvp(
      'celeba_64_readme', 'CelebA, 148x148 of the centre resized to 64x64', 64,
      5, 4, augmentation=('flip',), **readme)


PRESETS = {preset.name: preset
           for preset in [*_glow_presets(), *_real_nvp_presets()]}
