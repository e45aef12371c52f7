"""A Keras model that fits a flow to images."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import execution
from tfp_glow import replicas
from tfp_glow.bijectors import chain
from tfp_glow.bijectors import conditioner

tfb = tfp.bijectors
tfd = tfp.distributions

PREPROCESSING = ('centered', 'logit')
# RealNVP keeps pixels this far from 0 and 1 before it takes the logit.
LOGIT_MARGIN = 0.05
_BATCH_SIZE = 256


@keras.saving.register_keras_serializable('tfp_glow')
class FlowModel(keras.Model):
  """Fits a flow to uint8 images, and does with it what flows are for.

  ```none
  levels       q = floor(image / 2**(8 - num_bits))
  dequantised  v = q + u,  u uniform in [0, 1)
  bits/dim     -log p(v) / (H W C log 2)
  ```

  `distribution` is the `tfd.TransformedDistribution` over `v`, and the loss is
  bits/dim. Every variable of the flow is one of the model's weights, so that
  Keras trains, saves and restores it.

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

  def __init__(self, flow, num_bits=8, preprocessing='centered',
               image_shape=None, weight_y=0., seed=None, name='flow_model',
               **kwargs):
    """Puts a distribution over images around a flow.

    Args:
      flow: `tfb.Bijector` from flat latents `[D]` to preprocessed images
        `[H, W, C]`, or to vectors `[D]` with `image_shape`: `Glow`, `RealNVP`,
        `NICE`, or a chain of one's own, whose networks, if they need a
        condition, have been built.
      num_bits: Python `int` in 1 .. 8, bits of each pixel that are modelled.
        Default value: `8`.
      preprocessing: Python `str`: what the flow sees. `'centered'` is
        `v / 2**num_bits - 0.5` (Glow), `'logit'` is
        `logit(0.05 + 0.9 v / 2**num_bits)` (RealNVP).
        Default value: `'centered'`.
      image_shape: `(H, W, C)`, needed where the flow does not tell.
        Default value: `None`.
      weight_y: Python `float`, weight of the classifier head's cross-entropy,
        in bits, in the loss. Needs a `Glow` with `classifier=True`.
        Default value: `0.`.
      seed: Python `int` or `None`, of the dequantisation noise in training.
        Default value: `None`.
      name: Python `str`. Default value: `'flow_model'`.
      **kwargs: Keyword arguments of `keras.Model`.

    Raises:
      ValueError: If an argument is out of range, or shapes do not fit.
    """
    # The flow has its own precision; the networks have theirs.
    kwargs['dtype'] = tf.as_dtype(flow.dtype or tf.float32).name
    super().__init__(name=name, **kwargs)
    if num_bits not in range(1, 9):
      raise ValueError(f'`num_bits` must be in 1 .. 8, got {num_bits!r}.')
    if preprocessing not in PREPROCESSING:
      raise ValueError(
          f'`preprocessing` must be one of {PREPROCESSING}, got '
          f'{preprocessing!r}.')
    has_classifier = getattr(flow, 'classifier', None) is not None
    if weight_y < 0. or (weight_y and not has_classifier):
      raise ValueError(
          f'`weight_y` is {weight_y}: it must not be negative, and needs a '
          'Glow with `num_classes` and `classifier=True`.')
    self.num_bits = num_bits
    self.preprocessing = preprocessing
    self.weight_y = weight_y
    self.seed = seed
    self.image_shape = _image_shape(flow, image_shape)
    self.num_dims = math.prod(self.image_shape)
    self._noise_seeds = keras.random.SeedGenerator(seed)
    self._bits_per_dim = keras.metrics.Mean('bits_per_dim')
    self._classification_error = (
        keras.metrics.Mean('classification_error') if weight_y else None)
    self.skipped_steps, self.skipped_in_a_row = (
        tf.Variable(
            0, dtype=tf.int64, trainable=False, name=name,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        for name in ('skipped_steps', 'skipped_in_a_row'))

    self.flow = flow
    dtype = tf.as_dtype(self.compute_dtype)
    base = tfd.Sample(
        tfd.Normal(tf.zeros([], dtype), tf.ones([], dtype)),
        sample_shape=[self.num_dims])
    to_images = [*_pixel_bijectors(preprocessing, num_bits, dtype), flow]
    if flow.inverse_min_event_ndims == 1:
      to_images.insert(-1, tfb.Reshape(
          event_shape_out=self.image_shape, event_shape_in=(self.num_dims,)))
    self._distribution = tfd.TransformedDistribution(
        base, chain.Chain(to_images, name='to_images'))
    self._build_networks()
    self._flow_weights = _as_keras_variables(self._distribution)
    self.built = True

  @property
  def distribution(self):
    """`tfd.TransformedDistribution` over dequantised images."""
    return self._distribution

  @property
  def training_state(self):
    """List of `tf.Variable`: what training goes on from, beside the weights.

    The state of the dequantisation noise, the number of steps skipped because
    they were not finite, and how many of them were the last ones in a row.
    """
    return [self._noise_seeds.state.value, self.skipped_steps,
            self.skipped_in_a_row]

  @property
  def condition_names(self):
    """`frozenset` of the keyword arguments that condition the flow."""
    return self._distribution.bijector.condition_names

  def adapt(self, images, label=None, max_images=512, **conditions):
    """Initialises the flow from data; `fit` needs it once, beforehand.

    Args:
      images: uint8 `[N, H, W, C]`, or a `tf.data.Dataset` of batches, with
        labels where the model has classes. Of an array, `max_images` evenly
        spaced rows are used; of a data set, its first.
      label: Integers `[N]`, of a class-conditional model. Default value:
        `None`.
      max_images: Python `int`, how many to use at most.
        Default value: `512`.
      **conditions: Other conditions, by name, batch-major.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    conditions = _given(label=label, **conditions)
    if isinstance(images, tf.data.Dataset):
      images, conditions = _first_rows(images, conditions, max_images)
    else:
      images = self._checked_images(images)
      rows = np.unique(np.linspace(
          0, len(images) - 1, min(len(images), max_images)).astype(int))
      images = tf.gather(images, rows)
      conditions = {k: tf.gather(v, rows) for k, v in conditions.items()}
    images = self._checked_images(images)
    self._check_conditions(conditions)
    noise = np.random.default_rng(self.seed).random(images.shape)
    self._distribution.bijector.initialize(
        self._dequantise(images, noise), **conditions)

  def call(self, inputs, training=False, updates=None):
    """Bits/dim of images.

    Args:
      inputs: uint8 images `[N, H, W, C]`, or a `dict` of them, `'images'`,
        and the conditions.
      training: Python `bool`: fresh noise, statistics of the batch, and the
        networks' own precision, or else fixed noise, running averages, and
        the precision of the weights. Default value: `False`.
      updates: `execution.Updates` that takes the new running averages.
        Default value: `None`, they stay.

    Returns:
      outputs: `dict` of `'bits_per_dim'` `[N]` and, with a classifier that is
        trained, `'class_logits'` `[N, num_classes]`.
    """
    inputs = inputs if isinstance(inputs, dict) else {'images': inputs}
    conditions = {k: v for k, v in inputs.items() if k != 'images'}
    images = self._checked_images(inputs['images'])
    self._check_conditions(conditions)
    noise = self._fixed_noise()
    if training:
      noise = replicas.uniform(
          tf.shape(images), self.compute_dtype, self._noise_seeds)
    dequantised = self._dequantise(images, noise)
    latents, log_det = self._distribution.bijector.evaluate(
        dequantised, True, execution.Context(
            training=training, updates=updates, conditions=conditions))
    outputs = {'bits_per_dim': self._bits(
        self._distribution.distribution.log_prob(latents) + log_det)}
    if self.weight_y:
      outputs['class_logits'] = self.flow.class_logits(
          latents, conditions['label'])
    return outputs

  def fit(self, x=None, y=None, **kwargs):
    """`keras.Model.fit` on images, or images and labels.

    Args:
      x: uint8 `[N, H, W, C]`, or a `tf.data.Dataset` that yields images, or
        `(images, labels)`, or `(images, {condition: value})`.
      y: Labels `[N]`, or a `dict` of conditions. Default value: `None`.
      **kwargs: Keyword arguments of `keras.Model.fit`.

    Returns:
      history: `keras.callbacks.History`.

    Raises:
      RuntimeError: If the flow needs `adapt` first.
      TypeError: If images are not uint8, or labels are missing.
      ValueError: If shapes are wrong, or examples are weighted.
    """
    if not self._distribution.bijector.initialized:
      raise RuntimeError(
          'The flow has not been initialised from data: call '
          '`model.adapt(images)` with a batch of training images before '
          '`model.fit`.')
    for argument in ('sample_weight', 'class_weight'):
      if kwargs.get(argument) is not None:
        raise ValueError(
            f'`{argument}` is given, but a FlowModel weighs all images alike.')
    if isinstance(x, tf.data.Dataset):
      # A data set shuffles itself; asked to, Keras says that it cannot.
      kwargs['shuffle'] = False
    elif hasattr(x, 'dtype'):
      self._checked_images(x)
    # Within a branch, and by workers that must agree, nothing can be built.
    with self.distribute_strategy.scope():
      if not self.optimizer.built:
        self.optimizer.build(self.trainable_weights)
    return super().fit(x, y, **kwargs)

  def _maybe_symbolic_build(self, iterator=None, data_batch=None):
    """Does nothing: all is built, and workers cannot share a first batch."""

  def _for_each_worker(self, logs):
    """`logs` as Keras takes the mean of them over several workers."""
    resolver = self.distribute_strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec():
      return logs
    return {name: tf.reshape(value, [1]) for name, value in logs.items()}

  def train_step(self, data):
    inputs = self._pack(data)
    weights = self.trainable_weights
    updates = execution.Updates()
    with tf.GradientTape() as tape:
      outputs = self(inputs, training=True, updates=updates)
      loss = self.compute_loss(x=inputs, y_pred=outputs)
      scaled_loss = self.optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled_loss, weights)
    loss, *gradients = replicas.mean([loss, *gradients])

    # A step that is not finite changes nothing but the counts of such steps.
    finite = tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(v)) for v in (loss, *gradients)])
    # The optimizer adds up what the replicas give it.
    gradients = [gradient / replicas.count() for gradient in gradients]
    replicas.apply_if(finite, self.optimizer, gradients, weights)
    updates.apply_where(finite)
    skipped = tf.cast(~finite, tf.int64)
    self.skipped_steps.assign_add(skipped)
    self.skipped_in_a_row.assign((self.skipped_in_a_row + 1) * skipped)

    loss, outputs = tf.nest.map_structure(
        lambda value: tf.where(finite, value, tf.zeros_like(value)),
        (loss, outputs))
    counted = tf.cast(finite, loss.dtype)
    rows = tf.cast(tf.shape(inputs['images'])[0], loss.dtype)
    self._loss_tracker.update_state(loss, sample_weight=rows * counted)
    return self._for_each_worker(self.compute_metrics(
        inputs, None, outputs, sample_weight=counted))

  def test_step(self, data):
    return self._for_each_worker(super().test_step((self._pack(data),)))

  def predict_step(self, data):
    return super().predict_step((self._pack(data),))

  def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None,
                   training=True):
    """Mean bits/dim, the weighted cross-entropy, and the networks' losses."""
    loss = tf.reduce_mean(y_pred['bits_per_dim'])
    if self.weight_y:
      cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
          tf.cast(x['label'], tf.int32), y_pred['class_logits'])
      loss += self.weight_y * tf.reduce_mean(cross_entropy) / math.log(2.)
    if self.losses:
      loss += tf.add_n(
          [tf.cast(extra, loss.dtype) for extra in self.losses])
    return loss

  def compute_metrics(self, x, y, y_pred, sample_weight=None):
    """Updates and returns bits/dim and, with a classifier, its error."""
    self._bits_per_dim.update_state(
        y_pred['bits_per_dim'], sample_weight=sample_weight)
    if self.weight_y:
      predicted = tf.argmax(y_pred['class_logits'], -1, tf.int32)
      self._classification_error.update_state(
          predicted != tf.cast(x['label'], tf.int32),
          sample_weight=sample_weight)
    return self.get_metrics_result()

  def log_prob(self, images, label=None, **conditions):
    """Log-density of images, dequantised with noise that is always the same.

    Args:
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model. Default value:
        `None`.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      log_prob: `Tensor` `[N]`, in nats, of the density over dequantised
        images in `[0, 2**num_bits)`.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    return self._in_batches(
        self._log_prob, self._checked_images(images),
        _given(label=label, **conditions))

  def bits_per_dim(self, images, label=None, **conditions):
    """`-log_prob / (H W C log 2)`, `[N]`; see `log_prob`."""
    return self._bits(self.log_prob(images, label, **conditions))

  def encode(self, images, label=None, **conditions):
    """Latents of images, each pixel put in the middle of its bin.

    Args:
      images: uint8 `[N, H, W, C]`.
      label: Integers `[N]`, of a class-conditional model. Default value:
        `None`.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      latents: `Tensor` `[N, D]`. `decode` gives the images back, their
        `num_bits` leading bits exactly.

    Raises:
      ValueError: If there is no image, or shapes are wrong.
      TypeError: If the images are not uint8.
    """
    return self._in_batches(
        self._encode, self._checked_images(images),
        _given(label=label, **conditions))

  def decode(self, latents, label=None, **conditions):
    """Images of latents.

    Args:
      latents: `Tensor` `[N, D]`.
      label: Integers `[N]`, of a class-conditional model. Default value:
        `None`.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `Tensor` `[N, H, W, C]`.

    Raises:
      ValueError: If the shape is wrong.
    """
    latents = tf.convert_to_tensor(latents, dtype=self.compute_dtype)
    if latents.shape.rank != 2 or latents.shape[-1] != self.num_dims:
      raise ValueError(
          f'`latents` has shape {latents.shape}, but [N, {self.num_dims}] is '
          'needed.')
    return self._in_batches(
        self._decode, latents, _given(label=label, **conditions))

  def sample(self, num_samples, temperature=1., label=None, seed=None,
             **conditions):
    """New images.

    Args:
      num_samples: Python `int`, how many.
      temperature: Factor of the latents: lower gives likelier and less varied
        images. One number, one for each sample, `[num_samples]`, or one for
        each sample (or for all) and level, `[num_samples or 1, L]`, in the
        order of `flow.latent_shapes`. Default value: `1.`.
      label: Integer or integers `[num_samples]`, of a class-conditional
        model. Default value: `None`.
      seed: Python `int` or `None`. Default value: `None`, another each time.
      **conditions: Other conditions, by name, batch-major.

    Returns:
      images: uint8 `Tensor` `[num_samples, H, W, C]`.

    Raises:
      ValueError: If a temperature is negative, or shapes are wrong.
    """
    if isinstance(num_samples, bool) or int(num_samples) < 1:
      raise ValueError(
          f'`num_samples` must be a positive integer, got {num_samples!r}.')
    temperature = np.asarray(temperature, self.compute_dtype)
    sizes = [math.prod(shape) for shape in getattr(
        self.flow, 'latent_shapes', [(self.num_dims,)])]
    if temperature.shape not in (
        (), (num_samples,), (1, len(sizes)), (num_samples, len(sizes))) or (
            not ((temperature >= 0.) & np.isfinite(temperature)).all()):
      raise ValueError(
          '`temperature` must be one number, one for each sample, '
          f'[{num_samples}], or one for each level too, [{num_samples} or 1, '
          f'{len(sizes)}], finite and not negative, got {temperature} of '
          f'shape {temperature.shape}.')
    if temperature.ndim == 2:
      temperature = np.repeat(temperature, sizes, axis=1)
    else:
      temperature = temperature.reshape(-1, 1)
    if seed is None:
      seed = int(np.random.default_rng().integers(2**31))
    noise = tf.random.stateless_normal(
        [num_samples, self.num_dims], [seed, 0], dtype=self.compute_dtype)
    if label is not None:
      label = tf.broadcast_to(label, [num_samples])
    return self.decode(noise * temperature, label, **conditions)

  def save_own_variables(self, store):
    super().save_own_variables(store)
    # Keras leaves it out; with it, training goes on with the noise it would
    # have had.
    store['noise_seeds'] = self._noise_seeds.state.numpy()
    store['skipped_steps'] = self.skipped_steps.numpy()

  def load_own_variables(self, store):
    store = {name: store[name] for name in store.keys()}
    self._noise_seeds.state.assign(store.pop('noise_seeds'))
    self.skipped_steps.assign(store.pop('skipped_steps'))
    super().load_own_variables(store)

  def get_config(self):
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
        'preprocessing': self.preprocessing,
        'image_shape': self.image_shape,
        'weight_y': self.weight_y,
        'seed': self.seed,
    }

  @classmethod
  def from_config(cls, config, custom_objects=None):
    config = dict(config)
    config.pop('dtype', None)
    config.pop('trainable', None)
    config['flow'] = keras.saving.deserialize_keras_object(
        config['flow'], custom_objects=custom_objects)
    return cls(**config)

  def _bits(self, log_prob):
    return -log_prob / (self.num_dims * math.log(2.))

  def _fixed_noise(self):
    """One image of uniform noise, the same for every image and each call."""
    return np.random.default_rng(0).random(self.image_shape)

  def _levels(self, images):
    """What is modelled of uint8 images, `0 .. 2**num_bits - 1`."""
    levels = tf.bitwise.right_shift(
        images, tf.constant(8 - self.num_bits, tf.uint8))
    return tf.cast(levels, self.compute_dtype)

  def _dequantise(self, images, noise):
    return self._levels(images) + tf.cast(noise, self.compute_dtype)

  @tf.function(reduce_retracing=True, autograph=False)
  def _log_prob(self, images, conditions):
    return self._distribution.log_prob(
        self._dequantise(images, self._fixed_noise()),
        bijector_kwargs=conditions)

  @tf.function(reduce_retracing=True, autograph=False)
  def _encode(self, images, conditions):
    return self._distribution.bijector.inverse(
        self._levels(images) + .5, **conditions)

  @tf.function(reduce_retracing=True, autograph=False)
  def _decode(self, latents, conditions):
    return self._quantise(
        self._distribution.bijector.forward(latents, **conditions))

  def _quantise(self, dequantised):
    """uint8 images of what the flow gives."""
    # As in Glow's program: 5 bits of white are 248, and what is beyond is 255.
    values = tf.floor(dequantised) * 2.**(8 - self.num_bits)
    return tf.cast(tf.clip_by_value(values, 0., 255.), tf.uint8)

  def _in_batches(self, function, rows, conditions):
    """Calls `function` on a batch at a time, so that any number fits."""
    self._check_conditions(conditions)
    if not tf.executing_eagerly() or len(rows) <= _BATCH_SIZE:
      return function(rows, conditions)
    results = []
    for start in range(0, len(rows), _BATCH_SIZE):
      batch = slice(start, start + _BATCH_SIZE)
      results.append(function(
          rows[batch], {k: v[batch] for k, v in conditions.items()}))
    return tf.concat(results, axis=0)

  def _pack(self, data):
    """`(images, labels)` and its kin as one `dict`."""
    images, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
      raise ValueError(
          'The data set yields `sample_weight`, but a FlowModel weighs all '
          'images alike.')
    if isinstance(y, dict):
      return {'images': images, **y}
    if y is None or 'label' not in self.condition_names:
      # A data set's labels are no condition of a flow without classes.
      return {'images': images}
    return {'images': images, 'label': tf.reshape(y, [-1])}

  def _checked_images(self, images):
    if not tf.is_tensor(images):
      images = np.asarray(images)
    if images.dtype != tf.uint8:
      raise TypeError(
          f'`images` has dtype {tf.as_dtype(images.dtype).name}, but uint8, '
          '0 .. 255, is needed.')
    images = tf.convert_to_tensor(images)
    if not images.shape.is_compatible_with([None, *self.image_shape]):
      raise ValueError(
          f'`images` has shape {images.shape}, but '
          f'{[None, *self.image_shape]} is needed.')
    if images.shape.num_elements() == 0:
      raise ValueError(
          f'`images` is empty, of shape {images.shape}: at least one image '
          'is needed.')
    return images

  def _check_conditions(self, conditions):
    unknown = sorted(set(conditions) - self.condition_names)
    if unknown:
      takes = ', '.join(f'`{n}`' for n in sorted(self.condition_names))
      raise TypeError(
          f'`{unknown[0]}` is no condition of this model; it takes '
          f'{takes or "none"}.')
    label = conditions.get('label')
    if 'label' not in self.condition_names:
      return
    if label is None:
      raise TypeError(
          'This model is class-conditional and needs `label`, integers [N].')
    if not tf.is_tensor(label):
      label = np.asarray(label)
    if not tf.as_dtype(label.dtype).is_integer:
      raise TypeError(
          f'`label` has dtype {tf.as_dtype(label.dtype).name}, but integers '
          'are needed.')
    classes = self.flow.num_classes
    if tf.executing_eagerly() and len(label) and (
        np.min(label) < 0 or np.max(label) >= classes):
      raise ValueError(
          f'`label` must be in 0 .. {classes - 1}, but there is '
          f'{np.min(label) if np.min(label) < 0 else np.max(label)}.')

  def _build_networks(self):
    """Has networks that are built on their first call make their variables."""
    if all(module.is_built for module in self._distribution.submodules
           if isinstance(module, conditioner.Conditioner)):
      return
    self._distribution.log_prob(
        tf.zeros([1, *self.image_shape], self.compute_dtype) + .5)


def _image_shape(flow, image_shape):
  """The shape of the flow's images, as a tuple of ints."""
  known = getattr(flow, 'image_shape', None)
  if image_shape is None:
    image_shape = known
  if image_shape is None:
    raise ValueError(
        f'`image_shape` is needed, (H, W, C): {type(flow).__name__} does not '
        'tell it.')
  image_shape = tuple(int(n) for n in image_shape)
  if known is not None and image_shape != tuple(known):
    raise ValueError(
        f'`image_shape` is {image_shape}, but the flow is for {tuple(known)}.')
  size = math.prod(image_shape)
  event_size = getattr(flow, 'event_size', size)
  if event_size != size:
    raise ValueError(
        f'`image_shape` {image_shape} has {size} values, but the flow is for '
        f'{event_size}.')
  return image_shape


def _pixel_bijectors(preprocessing, num_bits, dtype):
  """From what the flow sees to dequantised images in `[0, 2**num_bits)`."""
  num_levels = tf.constant(2.**num_bits, dtype)
  if preprocessing == 'centered':
    return [tfb.Scale(num_levels), tfb.Shift(tf.constant(.5, dtype))]
  inner = 1. - 2. * LOGIT_MARGIN
  return [
      tfb.Scale(num_levels / inner),
      tfb.Shift(tf.constant(-LOGIT_MARGIN, dtype)),
      tfb.Sigmoid(),
  ]


def _as_keras_variables(distribution):
  """Every variable of a distribution as a `keras.Variable`, each once.

  Keras does not see `tf.Variable`s; a `keras.Variable` made of one adopts it.
  Where a Keras network owns it already, it is that network's.
  """
  owned = {}
  for module in distribution.submodules:
    if isinstance(module, conditioner.Conditioner) and isinstance(
        module.network, keras.layers.Layer):
      owned.update({id(v.value): v for v in module.network.variables})
  return [
      owned[id(v)] if id(v) in owned else keras.Variable(
          v, trainable=v.trainable, dtype=v.dtype.name,
          name=v.name.split(':')[0].replace('/', '_'))
      for v in distribution.variables]


def _given(**conditions):
  return {k: v for k, v in conditions.items() if v is not None}


def _first_rows(dataset, conditions, max_images):
  """The first images of a data set, and their conditions."""
  if conditions:
    raise ValueError(
        f'`{sorted(conditions)[0]}` is given beside a data set: let the data '
        'set yield (images, labels) or (images, {name: condition}).')
  images, parts, count = [], [], 0
  for data in dataset:
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    images.append(x)
    parts.append(y)
    count += len(x)
    if count >= max_images:
      break
  if not count:
    raise ValueError('`images` is an empty data set: an image is needed.')
  images = tf.concat(images, axis=0)[:max_images]
  if parts[0] is None:
    return images, {}
  joined = tf.nest.map_structure(
      lambda *values: tf.concat(values, axis=0)[:max_images], *parts)
  return images, joined if isinstance(joined, dict) else {'label': joined}
