"""The model and the optimizer of a recipe."""

import math
import re

import keras

import tfp_glow
from tfp_glow import execution
from tfp_glow.flows import glow


class _KeepsWeights:
  """An optimizer that leaves weights as they are when `fit` ends.

  Keras puts their moving average in their place, so that training could not go
  on from there.
  """

  def finalize_variable_values(self, var_list):
    """Does nothing."""


class _Adam(_KeepsWeights, keras.optimizers.Adam):
  pass


class _Adamax(_KeepsWeights, keras.optimizers.Adamax):
  pass


class _SGD(_KeepsWeights, keras.optimizers.SGD):
  pass


_OPTIMIZERS = {'adam': _Adam, 'adamax': _Adamax, 'sgd': _SGD}
_NOT_OF_THE_FLOW = ('system', 'num_bits', 'preprocessing', 'logit_margin',
                    'class_conditional', 'weight_y', 'mixed_bfloat16')
_CHOICES = {
    'coupling': glow.COUPLINGS,
    'permutation': tuple(glow.PERMUTATIONS),
    'scale': glow.SCALES,
    'memory': execution.MEMORY,
}


def build(config, image_shape, num_classes, feature_map_channels=None):
  """Builds the model of a recipe.

  Args:
    config: The fields of `config.get_config`.
    image_shape: `(H, W, C)`, of the data.
    num_classes: Python `int`, of the data, or `None`.
    feature_map_channels: Python `int`, of the data, or `None`. Default value:
      `None`.

  Returns:
    model: `FlowModel`, not initialised and not compiled.

  Raises:
    ValueError: If a field does not fit the others or the data.
  """
  fields = config.model
  if fields.class_conditional and fields.system != 'glow':
    raise ValueError(
        "`model.class_conditional` is True, but only the system 'glow' is "
        f'told classes, and this is {fields.system!r}.')
  if fields.class_conditional and num_classes is None:
    raise ValueError(
        f'`model.class_conditional` is True, but {config.data.name!r} has no '
        'classes.')
  _check_choices(fields)
  _check_size(config, image_shape)
  arguments = {name: value for name, value in fields.items()
               if name not in _NOT_OF_THE_FLOW}
  if feature_map_channels is not None:
    if fields.system == 'nice':
      raise ValueError(
          f'`data.condition` is {config.data.condition!r}, but NICE takes no '
          "images as conditions: the systems 'glow' and 'real_nvp' do.")
    arguments['feature_map_channels'] = feature_map_channels
  policy = keras.config.dtype_policy()
  keras.config.set_dtype_policy(
      'mixed_bfloat16' if fields.mixed_bfloat16 else 'float32')
  try:
    if fields.system == 'glow':
      flow = tfp_glow.Glow(
          image_shape,
          num_classes=num_classes if fields.class_conditional else None,
          classifier=fields.weight_y > 0., seed=config.seed, **arguments)
    elif fields.system == 'real_nvp':
      flow = tfp_glow.RealNVP(image_shape, seed=config.seed, **arguments)
    else:
      flow = tfp_glow.NICE(
          math.prod(image_shape), seed=config.seed, **arguments)
    margin = {}
    if fields.preprocessing == 'logit':
      margin['logit_margin'] = fields.logit_margin
    model = tfp_glow.FlowModel(
        flow, num_bits=fields.num_bits, preprocessing=fields.preprocessing,
        image_shape=image_shape, weight_y=fields.weight_y, seed=config.seed,
        **margin)
  finally:
    keras.config.set_dtype_policy(policy)
  _penalise_scales(model, config.optimizer.scale_l2)
  return model


def _check_choices(fields):
  """Raises if a field of the model has no such value."""
  for name, choices in _CHOICES.items():
    if name in fields and fields[name] not in choices:
      raise ValueError(
          f'`model.{name}` is {fields[name]!r}, but one of {sorted(choices)} '
          'is needed.')


def _check_size(config, image_shape):
  """Raises if sides cannot be halved often enough, and says what fits."""
  field = {'glow': 'levels', 'real_nvp': 'scales'}.get(config.model.system)
  if field is None:
    return
  count, sides = config.model[field], image_shape[:2]
  factor = 2 ** _halvings(field, count)
  if not any(side % factor for side in sides):
    return
  needed = [-(-side // factor) * factor for side in sides]
  pads = [(new - side) // 2 for new, side in zip(needed, sides)]
  fits = [f'`data.image_size` of {_size(needed)}']
  if pads[0] == pads[1] and all(
      new - side == 2 * pads[0] for new, side in zip(needed, sides)
  ) and not config.data.pad and config.data.crop != 'random':
    fits.append(f'`data.pad` of {pads[0]}, which makes them {_size(needed)}')
  fewer = [n for n in range(1, count)
           if not any(side % 2 ** _halvings(field, n) for side in sides)]
  if fewer:
    fits.append(f'`model.{field}` of {fewer[-1]}' + (
        ' or less' if len(fewer) > 1 else ''))
  raise ValueError(
      f'`model.{field}` is {count}, for which sides of images must be '
      f'multiples of {factor}, but these are {_size(sides)}. What fits: '
      f'{"; or ".join(fits)}.')


def _halvings(field, count):
  """How often a side is halved."""
  return count if field == 'levels' else count - 1


def _size(sides):
  return f'{sides[0]}x{sides[1]}'


def compile_model(model, config):
  """Gives a model the optimizer of its recipe, in its strategy's scope.

  Args:
    model: `FlowModel`.
    config: The fields of `config.get_config`.

  Raises:
    ValueError: If a field has no such value, or does not work with another.
  """
  replicas = model.distribute_strategy.num_replicas_in_sync
  if replicas > 1 and config.jit_compile:
    raise ValueError(
        f'`jit_compile` is True, but there are {replicas} replicas: XLA does '
        'not compile a step that several share. Set it to False.')
  if replicas > 1 and config.optimizer.accumulate > 1:
    raise ValueError(
        f'`optimizer.accumulate` is {config.optimizer.accumulate}, but there '
        f'are {replicas} replicas, for which Keras has no accumulation. Set '
        'it to 1.')
  model.compile(_optimizer(config, replicas), jit_compile=config.jit_compile)
  model.optimizer.build(model.trainable_weights)


def _optimizer(config, replicas):
  fields = config.optimizer
  if fields.name not in _OPTIMIZERS:
    raise ValueError(
        f'`optimizer.name` is {fields.name!r}, but one of '
        f'{sorted(_OPTIMIZERS)} is needed.')
  arguments = {}
  if fields.name != 'sgd':
    arguments = {'beta_1': fields.beta_1, 'beta_2': fields.beta_2,
                 'epsilon': fields.epsilon}
  if fields.clip is not None:
    # Each replica gives the optimizer its part of the gradient of all.
    arguments['global_clipnorm'] = fields.clip / replicas
  if fields.average is not None:
    arguments.update(use_ema=True, ema_momentum=fields.average)
  if fields.accumulate > 1:
    arguments['gradient_accumulation_steps'] = fields.accumulate
  return _OPTIMIZERS[fields.name](learning_rate(config), **arguments)


def learning_rate(config):
  """The schedule of the learning rate, a function of the step.

  Args:
    config: The fields of `config.get_config`.

  Returns:
    schedule: `keras.optimizers.schedules.LearningRateSchedule`.

  Raises:
    ValueError: If there is no such schedule.
  """
  fields = config.optimizer
  final = {'constant': 1., 'cosine': 0.}
  if fields.schedule not in final:
    raise ValueError(
        f'`optimizer.schedule` is {fields.schedule!r}, but one of '
        f'{sorted(final)} is needed.')
  warmup_steps = math.ceil(fields.warmup_images / config.batch_size)
  warmup = {}
  if warmup_steps:
    warmup = {'warmup_target': fields.learning_rate,
              'warmup_steps': warmup_steps}
  return keras.optimizers.schedules.CosineDecay(
      0. if warmup_steps else fields.learning_rate,
      decay_steps=max(1, config.steps - warmup_steps),
      alpha=final[fields.schedule], **warmup)


def _penalise_scales(model, weight):
  """RealNVP's L2: of the magnitudes of kernels and of rescaling factors."""
  if not weight:
    return
  in_bits_per_dim = weight / (model.num_dims * math.log(2.))
  for variable in model.trainable_weights:
    # The model tells variables of one name apart by a number.
    if re.fullmatch(r'(magnitude|rescale)(_\d+)?', variable.name):
      variable.regularizer = keras.regularizers.L2(in_bits_per_dim)
