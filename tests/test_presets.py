"""The settings of the papers' runs."""

import dataclasses
import math

import pytest

import tfp_glow
from tfp_glow.flows import presets

PUBLISHED = {
    'glow_cifar10': 3.35, 'glow_imagenet_32': 4.09, 'glow_imagenet_64': 3.81,
    'glow_lsun_bedroom_64': 2.38, 'glow_lsun_tower_64': 2.46,
    'glow_lsun_church_outdoor_64': 2.67, 'glow_celeba_hq_256': 1.03,
    'real_nvp_cifar10': 3.49, 'real_nvp_imagenet_32': 4.28,
    'real_nvp_imagenet_64': 3.98, 'real_nvp_lsun_bedroom_64': 2.72,
    'real_nvp_lsun_tower_64': 2.81, 'real_nvp_lsun_church_outdoor_64': 3.08,
    'real_nvp_celeba_64': 3.02,
}
SMALL = ['glow_cifar10_ablation_reverse_additive', 'glow_cifar10_conditional',
         'real_nvp_imagenet_32', 'real_nvp_celeba_64']


def num_parameters(flow):
  return sum(math.prod(v.shape) for v in flow.trainable_variables)


def small(name):
  """A preset with little of everything that takes time to build."""
  preset = presets.get(name)
  if preset.system == 'glow':
    return dataclasses.replace(preset, steps=1, width=8)
  return dataclasses.replace(
      preset, residual_blocks=1, width=2, levels=min(preset.levels, 3))


def test_published_bits_per_dim_are_there_and_none_is_said_to_be_reproduced():
  assert PUBLISHED == {
      name: preset.bits_per_dim for name, preset in presets.PRESETS.items()
      if preset.bits_per_dim is not None}
  assert not any(p.reproduced for p in presets.PRESETS.values())


def test_every_run_of_the_readme_is_there():
  names = {f'glow_cifar10_ablation_{permutation}_{coupling}'
           for permutation in ('reverse', 'shuffle', 'conv1x1')
           for coupling in ('additive', 'affine')}
  names |= {f'glow_lsun_{category}_{size}' for size in (64, 96, 128)
            for category in ('bedroom', 'church_outdoor', 'tower')}
  names |= {'glow_cifar10', 'glow_imagenet_32', 'glow_imagenet_64',
            'glow_celeba_hq_256', 'glow_cifar10_conditional',
            'glow_imagenet_32_conditional'}
  assert names == {n for n in presets.PRESETS if n.startswith('glow_')}


# Table 4 of the Glow paper, and what its README has beside it.
@pytest.mark.parametrize('name, batch, levels, steps, coupling, bits', [
    ('glow_cifar10', 512, 3, 32, 'affine', 8),
    ('glow_imagenet_32', 512, 3, 48, 'affine', 8),
    ('glow_imagenet_64', 128, 4, 48, 'affine', 8),
    ('glow_lsun_tower_64', 128, 3, 48, 'affine', 8),
    ('glow_lsun_tower_96', 320, 5, 64, 'additive', 5),
    ('glow_lsun_tower_128', 160, 5, 64, 'additive', 5),
    ('glow_celeba_hq_256', 40, 6, 32, 'additive', 5),
])
def test_settings_are_those_of_the_papers_tables(
    name, batch, levels, steps, coupling, bits):
  preset = presets.get(name)
  assert (preset.global_batch, preset.levels, preset.steps, preset.coupling,
          preset.num_bits, preset.width, preset.learn_top) == (
              batch, levels, steps, coupling, bits, 512, True)


@pytest.mark.parametrize('preset', presets.PRESETS.values(),
                         ids=lambda preset: preset.name)
def test_presets_fit_their_images_and_say_where_they_are_from(preset):
  assert presets.get(preset.name) is preset
  halvings = preset.levels - (preset.system == 'real_nvp')
  assert preset.image_shape[0] % 2**halvings == 0
  assert preset.image_shape[-1] == 3
  assert preset.source
  assert preset.preprocessing == (
      'centered' if preset.system == 'glow' else 'logit')
  assert set(preset.augmentation) <= {'shift', 'crop', 'flip'}
  # The classifier's loss and the conditional prior come together.
  assert (preset.weight_y > 0.) == (preset.num_classes is not None)


def test_the_last_recursion_of_real_nvp_is_on_4x4_but_for_cifar10():
  for preset in presets.PRESETS.values():
    if preset.system == 'real_nvp' and preset.name != 'real_nvp_cifar10':
      assert preset.image_shape[0] // 2**(preset.levels - 1) == 4


def test_warm_up_is_ten_epochs_of_fifty_thousand_small_images():
  assert presets.get('glow_cifar10').warmup_steps == 977  # 8 workers of 64
  assert presets.get('glow_celeba_hq_256').warmup_steps == 196  # 40 of them
  assert presets.get('real_nvp_cifar10').warmup_steps == 0


def test_glow_of_cifar10_has_the_papers_parameters():
  flow = presets.get('glow_cifar10').build(seed=0)
  assert num_parameters(flow) == 44_603_604


@pytest.mark.parametrize('name', SMALL)
def test_flows_and_models_have_the_settings(name):
  preset = small(name)
  model = preset.model(seed=0)
  config = model.flow.get_config()
  assert tuple(config['image_shape']) == preset.image_shape
  assert config['width'] == preset.width
  assert model.num_bits == preset.num_bits
  assert model.preprocessing == preset.preprocessing
  assert model.weight_y == preset.weight_y
  if preset.system == 'glow':
    assert isinstance(model.flow, tfp_glow.Glow)
    for argument in ('levels', 'steps', 'coupling', 'permutation',
                     'learn_top', 'num_classes'):
      assert config[argument] == getattr(preset, argument)
    assert config['classifier'] == (preset.num_classes is not None)
  else:
    assert isinstance(model.flow, tfp_glow.RealNVP)
    assert config['scales'] == preset.levels
    assert config['residual_blocks'] == preset.residual_blocks


def test_a_seed_makes_the_same_weights_again():
  preset = small('glow_cifar10')
  one, same, other = (preset.build(seed).trainable_variables[2].numpy()
                      for seed in (0, 0, 1))
  assert (one == same).all() and (one != other).any()


def test_a_name_that_is_not_there_gets_the_nearest():
  with pytest.raises(KeyError, match="did you mean 'glow_cifar10'"):
    presets.get('glow_cifar')
  with pytest.raises(KeyError, match="did you mean 'real_nvp_celeba_64'"):
    presets.get('realnvp-celeba-64')


def test_presets_cannot_be_changed():
  with pytest.raises(dataclasses.FrozenInstanceError):
    presets.get('glow_cifar10').steps = 1
