"""The fields of a recipe, and those of the papers' runs.

A recipe is a file in `training/configs/` whose `get_config` changes some of
these fields. Any of them can be changed once more on the command line:
`--config.optimizer.learning_rate=3e-4`.
"""

import math

import ml_collections
from ml_collections import config_dict

from tfp_glow.flows import presets
from training import data

_MODELS = {
    'glow': {
        'levels': 3,
        'steps': 8,
        'width': 64,
        'coupling': 'affine',
        'permutation': 'conv1x1',
        'learn_top': True,
        'scale': 'sigmoid',
        'memory': 'store',
    },
    'real_nvp': {
        'scales': 2, 'width': 32, 'residual_blocks': 2, 'memory': 'store'},
    'nice': {'couplings': 4, 'hidden_layers': 3, 'width': 128},
}
_CENTRE_OF_CELEB_A = (40, 15, 148, 148)


def get_config(system='glow'):
  """All fields, with their defaults.

  Args:
    system: Python `str`, `'glow'`, `'real_nvp'` or `'nice'`.
      Default value: `'glow'`.

  Returns:
    config: `ml_collections.ConfigDict` of

      data: Which images, and how they are prepared: `data.get_config`.
      model:
        system: `'glow'`, `'real_nvp'` or `'nice'`, chosen by the recipe; the
          fields after it are the arguments of `tfp_glow.Glow`, `RealNVP` or
          `NICE`.
        memory: What the gradient keeps (Glow, RealNVP): `'store'`, every
          activation, or `'recompute'`, which computes them again from the
          layers' outputs and takes less memory and more time.
        num_bits: Bits of each pixel that are modelled, 1 to 16; more than 8
          need values that fill as many.
        preprocessing: `'centered'` or `'logit'`.
        logit_margin: How far from 0 and 1 what the logit is taken of stays;
          of no effect on `'centered'`.
        class_conditional: Whether the model is told the class (Glow).
        weight_y: Weight of a classifier's loss (class-conditional Glow).
        mixed_bfloat16: Whether networks train in bfloat16.
      optimizer:
        name: `'adam'`, `'adamax'` or `'sgd'`.
        beta_1, beta_2, epsilon: Of Adam and Adamax.
        learning_rate: What the warm-up ends at.
        warmup_images: Images over which the learning rate rises from 0.
        schedule: `'constant'` or, down to 0 at the last step, `'cosine'`.
        clip: Largest global norm of the gradients; `None` does not clip.
        scale_l2: Weight, in nats, of the squares of RealNVP's scales.
        average: Momentum of a moving average of the weights, which is then
          what is evaluated; `None` keeps none.
        accumulate: Batches whose gradients make one update.
      batch_size: Images a step, of all replicas together.
      steps: Steps of training.
      initial_images: Images that the model is initialised from.
      eval_every: Steps between evaluations, besides that of the last step.
      eval_images: Images to evaluate on; `None` takes all.
      checkpoint_every: Steps between checkpoints; the last step has one, too.
      keep_checkpoints: How many are kept.
      max_skipped: Steps in a row that may fail to be finite.
      temperatures: Of the samples that are drawn at each evaluation.
      picture_channels: Which channels pictures have, one for grey or three;
        `None` takes the first three, or the only one.
      jit_compile: Whether a step is compiled with XLA.
      deterministic: Whether TensorFlow's deterministic kernels are used.
      strategy: `'none'`, `'mirrored'` (all devices of this machine) or
        `'multi_worker'` (the machines of the variable `TF_CONFIG`).
      seed: Of everything random.
  """
  fields = ml_collections.ConfigDict({
      'data': data.get_config(),
      'model': {
          'system': system,
          **_MODELS[system],
          'num_bits': 8,
          'preprocessing': 'logit' if system == 'real_nvp' else 'centered',
          'logit_margin': 0.05,
          'class_conditional': False,
          'weight_y': 0.,
          'mixed_bfloat16': False,
      },
      'optimizer': {
          'name': 'adam',
          'beta_1': .9,
          'beta_2': .999,
          'epsilon': 1e-7,
          'learning_rate': 1e-3,
          'warmup_images': 16_000,
          'schedule': 'constant',
          'clip': config_dict.placeholder(float),
          'scale_l2': 0.,
          'average': config_dict.placeholder(float),
          'accumulate': 1,
      },
      'batch_size': 32,
      'steps': 2000,
      'initial_images': 256,
      'eval_every': 250,
      'eval_images': config_dict.placeholder(int),
      'checkpoint_every': 250,
      'keep_checkpoints': 3,
      'max_skipped': 20,
      'temperatures': (.5, .7, 1.),
      'picture_channels': config_dict.placeholder(tuple),
      'jit_compile': False,
      'deterministic': True,
      'strategy': 'none',
      'seed': 0,
  })
  return fields.lock()  # a name that is mistyped is an error


def from_preset(name):
  """A run of the papers, as `tfp_glow.presets` has it.

  How long they trained is not part of it: the programs go on until stopped.

  Args:
    name: Python `str`, one of `tfp_glow.presets.PRESETS`.

  Returns:
    config: `ml_collections.ConfigDict`.
  """
  preset = presets.get(name)
  config = get_config(preset.system)
  config.data.update(_data(preset))
  if preset.system == 'glow':
    config.model.update(
        levels=preset.levels, steps=preset.steps, coupling=preset.coupling,
        permutation=preset.permutation, learn_top=preset.learn_top)
  else:
    config.model.update(
        scales=preset.levels, residual_blocks=preset.residual_blocks)
  config.model.update(
      width=preset.width, num_bits=preset.num_bits,
      preprocessing=preset.preprocessing, weight_y=preset.weight_y,
      class_conditional=preset.num_classes is not None)
  config.optimizer.update(
      name=preset.optimizer, learning_rate=preset.learning_rate,
      warmup_images=preset.warmup_steps * preset.global_batch,
      clip=preset.gradient_clip, scale_l2=preset.scale_l2 or 0.)
  if preset.optimizer == 'adamax':
    # One over the steps of an epoch, a tenth of the warm-up.
    config.optimizer.beta_2 = 1. - 1. / math.ceil(preset.warmup_steps / 10)
  config.update(
      batch_size=preset.global_batch, initial_images=preset.global_batch,
      steps=1_000_000, eval_every=5000, checkpoint_every=1000,
      eval_images=10_000)
  return config


def _data(preset):
  """The fields of `data` for the images of a preset."""
  size = preset.image_shape[0]
  fields = {'image_size': size,
            'flip': 'flip' in preset.augmentation,
            'shift': .1 if 'shift' in preset.augmentation else 0.}
  if 'crop' in preset.augmentation:
    fields.update(crop='random', shorter_side=96)
  name, _, detail = preset.dataset.partition(' ')
  if name == 'CIFAR-10':
    return {**fields, 'name': 'cifar10'}
  if name == 'CelebA,':
    return {**fields, 'name': 'celeb_a', 'crop': _CENTRE_OF_CELEB_A,
            'antialias': False}  # as RealNVP's program resizes
  if name == 'CelebA-HQ':
    return {**fields, 'name': f'celeb_a_hq/{size}'}
  if name == 'ImageNet':
    return {**fields, 'name': f'downsampled_imagenet/{size}x{size}'}
  if name == 'ImageNet,':
    return {**fields, 'name': 'imagenet2012', 'eval_split': 'validation'}
  category = detail.split(',')[0]
  return {**fields, 'name': f'lsun/{category}'}
