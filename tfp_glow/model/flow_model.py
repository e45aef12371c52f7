"""The model: a distribution over images, and what it is used for."""

from collections.abc import Mapping
import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import execution
from tfp_glow import replicas
from tfp_glow import seeding
from tfp_glow.model import base as base_lib
from tfp_glow.model import composition
from tfp_glow.model import inference
from tfp_glow.model import inputs as inputs_lib
from tfp_glow.model import parts
from tfp_glow.model import pixels as pixels_lib
from tfp_glow.model import training as training_lib

tfb = tfp.bijectors
tfd = tfp.distributions

@keras.saving.register_keras_serializable('tfp_glow')
class FlowModel(inference.Inference, training_lib.TrainedByKeras):
  """Fits a flow to uint8 images, and does with it what flows are for.

  ```none
  bin          q = floor(image / 2**(8 - num_bits)), or 2**(16 - num_bits)
  dequantised  v = q + u,  u uniform in [0, 1)
  bits/dim     -log p(v) / (H W C log 2)
  ```

  `distribution` is the `tfd.TransformedDistribution` over `v`, and the loss is
  bits/dim. Every variable of the flow and of the base distribution is one of
  the model's weights, so that Keras trains, saves and restores it.

  #### Examples

  >>> flow = tfp_glow.Glow((8, 8, 1), levels=2, steps=1, width=8, seed=0)
  >>> model = FlowModel(flow, num_bits=4)
  >>> images = np.random.default_rng(0).integers(
  ...     0, 256, (32, 8, 8, 1), dtype=np.uint8)
  >>> model.adapt(images)
  >>> model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
  >>> history = model.fit(images, batch_size=16, verbose=0)
  >>> model.sample(3, temperature=.7, seed=0).shape
  TensorShape([3, 8, 8, 1])
  """

  def __init__(self,
               flow: tfb.Bijector,
               num_bits: int = 8,
               preprocessing: str | None = None,
               image_shape: tuple[int, int, int] | None = None,
               weight_y: float = 0.,
               base: tfd.Distribution | None = None,
               seed: int | None = None,
               name: str = 'flow_model',
               logit_margin: float = 0.05,
               **kwargs: Any):
    """Puts a distribution over images around a flow.

    Args:
      flow: Bijector from flat latents `[D]` to preprocessed images
        `[H, W, C]`, or to vectors `[D]` with `image_shape`: `Glow`, `RealNVP`,
        `NICE`, or a chain of one's own, whose networks, if they need a
        condition, have been built. Latents of another shape are flattened.
      num_bits: Bits of each pixel that are modelled, 1 .. 16, the leading
        ones. With more than 8, images are uint16 wherever they are called
        uint8 here. `float32` has room for 16 bits, but rounding then moves a
        pixel by a bin or so on its way to the latents and back: take a flow
        of `float64` where it must not.
      preprocessing: Values that the flow sees: `'centered'`,
        `v / 2**num_bits - 0.5` (Glow), or `'logit'`,
        `logit(m + (1 - 2 m) v / 2**num_bits)` (RealNVP). Default value:
        `None`, that of the flow, or `'centered'` where it does not tell.
      image_shape: `(H, W, C)`, needed where the flow does not tell.
      weight_y: Weight of the classifier head's cross-entropy, in bits, in the
        loss. Needs a `Glow` with `classifier=True`.
      base: Distribution of the latents: over `[D]`, over scalars (then each
        component has it), or a batch `[D]` of those. Its variables are trained
        with the flow's. Default value: `None`, the standard normal.
      seed: Of the dequantisation noise. Default value: `None`: one that
        `keras.utils.set_random_seed` decides.
      name: Name of the model.
      logit_margin: The `m` of `'logit'`. Small ones, `1e-6`, suit images that
        are black or white in large parts, as drawings and digits are. Default
        value: `0.05`, RealNVP's.
      **kwargs: Keyword arguments of `keras.Model`.

    Raises:
      TypeError: If `flow` is no bijector, or `base` is of another dtype.
      ValueError: If an argument is out of range, or shapes do not fit.
    """
    # The flow has its own precision; the networks have theirs.
    dtype = composition.dtype_of(flow, kwargs.get('dtype'))
    kwargs['dtype'] = dtype.name
    has_classifier = getattr(flow, 'classifier', None) is not None
    if weight_y < 0. or (weight_y and not has_classifier):
      raise ValueError(
          f'`weight_y` is {weight_y}: it must not be negative, and needs a '
          'Glow with `num_classes` and `classifier=True`.')
    super().__init__(weight_y, seed, name=name, **kwargs)
    self.pixels = pixels_lib.Pixels(
        composition.image_shape_of(flow, image_shape), num_bits,
        preprocessing or getattr(flow, 'preprocessing', 'centered'), dtype,
        logit_margin)
    self.seed = seed
    self.flow = flow
    self._distribution = tfd.TransformedDistribution(
        base_lib.over_latents(base, self.num_dims, dtype),
        composition.to_images(flow, self.pixels))
    self._checks = inputs_lib.Inputs(
        self.pixels, self.condition_names,
        getattr(flow, 'condition_shapes', {}), self.num_classes)
    self._build_networks()
    self._parts = parts.parts_of(
        flow, self.image_shape if flow.inverse_min_event_ndims > 1 else
        (self.num_dims,), self._distribution)
    self.built = True

  @property
  def distribution(self) -> tfd.TransformedDistribution:
    """Distribution over dequantised images."""
    return self._distribution

  @property
  def base(self) -> tfd.Distribution:
    """Distribution of the latents, `[D]`."""
    return self._distribution.distribution

  @property
  def preprocessing(self) -> str:
    """`'centered'` or `'logit'`; see `pixels`."""
    return self.pixels.preprocessing

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """`(H, W, C)`."""
    return self.pixels.image_shape

  @property
  def num_bits(self) -> int:
    """Bits of each pixel that are modelled."""
    return self.pixels.num_bits

  @property
  def num_dims(self) -> int:
    """Size `D` of the latents, `H W C`."""
    return self.pixels.num_dims

  @property
  def num_classes(self) -> int | None:
    """Number of classes, or `None` where the flow has none."""
    return getattr(self.flow, 'num_classes', None)

  @property
  def condition_names(self) -> frozenset[str]:
    """Keyword arguments that condition the flow."""
    return self._distribution.bijector.condition_names

  def pack(self, data: Any) -> dict[str, Any]:
    """Takes a batch of what `fit` takes apart: `'images'` and conditions.

    Args:
      data: Images; `(images, labels)` or `(images, {condition: value})`; or
        `{'images': images, condition: value}`.

    Returns:
      inputs: `dict`. Labels without a name are left out where the flow has no
        classes.

    Raises:
      ValueError: If examples are weighted, or `'images'` is missing.
    """
    return self._checks.pack(data)

  def checked(self, data: Any) -> dict[str, tf.Tensor]:
    """Takes a batch apart, as `pack` does, and checks it.

    Args:
      data: What `pack` takes.

    Returns:
      inputs: `dict` of `Tensor`s: `'images'` and the conditions.

    Raises:
      TypeError: If a dtype is wrong, or a condition is missing or unknown.
      ValueError: If a shape or a value is wrong. In a graph, what is seen only
        as it runs is an `InvalidArgumentError`.
    """
    return self._checks.checked(self.pack(data))

  def adapt(self, images: Any, label: Any = None, max_images: int = 512,
            **conditions: Any) -> None:
    """Initialises the flow from data; `fit` needs it once, beforehand.

    Args:
      images: What `fit` takes as `x`. Of arrays, `max_images` evenly spaced
        rows are used; of what yields batches, the first rows, which a
        generator then no longer has.
      label: Integers `[N]`, of a class-conditional model.
      max_images: Number of images that are used, at most.
      **conditions: Other conditions, by name, batch-major.

    Raises:
      ValueError: If there is no image, or shapes or values are wrong.
      TypeError: If the images are not uint8, conditions are missing, or a
        layer cannot be reached.
    """
    conditions = inputs_lib.given(label=label, **conditions)
    max_images = inputs_lib.positive('max_images', max_images)
    images = inputs_lib.array_of('images', images)
    if inputs_lib.is_batches(images):
      if conditions:
        raise ValueError(
            f'`{sorted(conditions)[0]}` is given beside a data set: let the '
            'data set yield (images, labels) or (images, {name: condition}).')
      inputs = self._checks.first_rows(images, max_images)
    else:
      inputs = self.checked({**self.pack(images), **conditions})
      last = len(inputs['images']) - 1
      inputs = inputs_lib.of_rows(inputs, np.unique(np.linspace(
          0, last, min(last + 1, max_images)).astype(int)))
    images = inputs.pop('images')
    generator = np.random.default_rng(seeding.not_negative(self.seed))
    bijector = self._distribution.bijector
    bijector.initialize(self.pixels.dequantise(
        images, generator.random(images.shape)), **inputs)
    if not bijector.initialized:
      raise TypeError(
          f'`flow` has {composition.not_reached(bijector)}, which must be '
          'initialised from data, within a bijector that is none of '
          'tfp_glow: compose with `tfp_glow.Chain`, which reaches it.')

  def call(self, inputs: Any, training: bool = False,
           updates: execution.Updates | None = None) -> dict[str, tf.Tensor]:
    """Bits/dim of images.

    Args:
      inputs: uint8 images `[N, H, W, C]`, or a `dict` of them, `'images'`,
        and the conditions.
      training: Fresh noise, statistics of the batch, and the networks' own
        precision, or else fixed noise, running averages, and the precision of
        the weights.
      updates: `execution.Updates` that takes the new running averages; with
        `None` they stay.

    Returns:
      outputs: `dict` of `'bits_per_dim'` `[N]` and, with a classifier that is
        trained, `'class_logits'` `[N, num_classes]`.
    """
    conditions = self.checked(inputs)
    images = conditions.pop('images')
    noise = self.pixels.fixed_noise()
    if training:
      noise = replicas.uniform(
          tf.shape(images), self.compute_dtype, self._noise_seeds)
    latents, log_prob = self.latents_and_log_prob(
        self.pixels.dequantise(images, noise), execution.Context(
            training=training, updates=updates, conditions=conditions))
    outputs = {'bits_per_dim': self.pixels.bits_per_dim(log_prob)}
    if self.weight_y:
      outputs['class_logits'] = self.flow.class_logits(
          latents, conditions['label'])
    return outputs

  def latents_and_log_prob(
      self, dequantised: tf.Tensor,
      context: execution.Context | None = None, /,
      **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Latents and log-densities of dequantised images, in one evaluation.

    Args:
      dequantised: `[N, H, W, C]`, in `[0, 2**num_bits)`; see `pixels`.
      context: Mode and conditions, in place of `conditions`; by position, for
        there is a condition of this name.
      **conditions: Conditions, by name, batch-major.

    Returns:
      latents: `[N, D]`.
      log_prob: `[N]`, in nats.
    """
    latents, log_det = self._distribution.bijector.evaluate(
        dequantised, True, context or execution.Context.of(**conditions))
    return latents, self.base.log_prob(latents) + log_det

  def dequantised(
      self, latents: tf.Tensor, context: execution.Context | None = None, /,
      **conditions: Any) -> tf.Tensor:
    """Dequantised images `[N, H, W, C]` of latents `[N, D]`."""
    return self._distribution.bijector.evaluate(
        latents, False, context or execution.Context.of(**conditions))[0]

  @property
  def network_policy(self) -> str:
    """Dtype policies of the flow's Keras networks, `'mixed_bfloat16'`, say."""
    return parts.network_policy(self._distribution)

  def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
    """`keras.Model.save`, to a `.keras` file.

    Raises:
      ValueError: If `filepath` is an HDF5 file, which cannot hold the model.
      TypeError: If the flow or the base cannot be written.
    """
    if str(filepath).endswith(('.h5', '.hdf5')):
      raise ValueError(
          f'`filepath` is {str(filepath)!r}, but Keras cannot write a '
          'FlowModel in its old HDF5 format: save `model.keras`, or weights '
          'alone, `model.save_weights("model.weights.h5")`.')
    super().save(filepath, overwrite=overwrite, **kwargs)

  def export(self, filepath: Any, format: str = 'tf_saved_model',
             verbose: bool | None = None, **kwargs: Any) -> None:
    """Writes a SavedModel with the signatures of `export_saved_model`.

    Args:
      filepath: The folder of the SavedModel itself; there is no number in it.
      format: `'tf_saved_model'`.
      verbose: Whether to print the signatures. Default value: `None`, yes.
      **kwargs: Not taken.

    Raises:
      ValueError: If the format is another, or the folder has other files.
      TypeError: If there are more arguments.
    """
    # The model is below what serves it, and this method above both.
    from tfp_glow.serving import export  # pylint: disable=cyclic-import
    if format != 'tf_saved_model':
      raise ValueError(
          f"`format` is {format!r}, but a FlowModel is exported as "
          "'tf_saved_model'; converters to other formats start from that.")
    if kwargs:
      raise TypeError(
          f'`{sorted(kwargs)[0]}` is given, but the signatures of a FlowModel '
          'are fixed: see `tfp_glow.export_saved_model`.')
    names = export.write_saved_model(self, filepath)
    if verbose is None or verbose:
      print(f'A SavedModel is in {filepath}. Its signatures: '
            f'{", ".join(names)}.')

  def get_config(self) -> dict[str, Any]:
    if not hasattr(self.flow, 'get_config'):
      raise TypeError(
          f'A FlowModel around {type(self.flow).__name__} cannot be written '
          'as a `.keras` file, because Keras cannot rebuild that flow: save '
          'its weights, `model.save_weights(path)`, or give it `get_config` '
          'and `from_config`.')
    return {
        **super().get_config(),
        'flow': keras.saving.serialize_keras_object(self.flow),
        'num_bits': self.num_bits,
        'preprocessing': self.pixels.preprocessing,
        'logit_margin': self.pixels.logit_margin,
        'image_shape': self.image_shape,
        'weight_y': self.weight_y,
        'base': base_lib.get_config(self.base),
        'seed': self.seed,
        'network_policy': self.network_policy,
        'frozen': [part.name for part in self.layers if not part.trainable],
    }

  @classmethod
  def from_config(cls, config: dict[str, Any],
                  custom_objects: Mapping[str, Any] | None = None):
    config = dict(config)
    for name in ('dtype', 'trainable'):
      config.pop(name, None)
    frozen = config.pop('frozen', ())  # older files have none
    with _dtype_policy(config.pop('network_policy', '')):
      config['flow'] = keras.saving.deserialize_keras_object(
          config['flow'], custom_objects=custom_objects)
    config['base'] = base_lib.from_config(config.get('base'))
    model = cls(**config)
    for name in frozen:
      model.get_layer(name).trainable = False
    return model

  def _build_networks(self):
    """Has networks that are built on their first call make their variables."""
    if not all(network.is_built
               for network in parts.networks_of(self._distribution)):
      self._distribution.log_prob(
          tf.zeros([1, *self.image_shape], self.compute_dtype) + .5)


@contextlib.contextmanager
def _dtype_policy(name):
  """Has networks that are built get a policy, unless they have several."""
  before = keras.config.dtype_policy()
  if name and ' ' not in name:
    keras.config.set_dtype_policy(name)
  try:
    yield
  finally:
    keras.config.set_dtype_policy(before)
