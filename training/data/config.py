"""The fields that say which images, and how they are prepared."""

import ml_collections
from ml_collections import config_dict


def get_config():
  """All fields, with their defaults.

  A field of a size takes a Python `int`, for squares, or a pair of height and
  width. What is `None` by default may be left so.

  Returns:
    config: `ml_collections.ConfigDict` of

      name: Which images: `'digits'` (those of scikit-learn), `'faces'` or
        `'faces/64x64'` (cartoons, which the project draws), the name of any
        image data set of TFDS (`'cifar10'`, `'downsampled_imagenet/32x32'`),
        `'image_folder:PATH'` or `'npz:PATH'`.
      train_split: What is trained on, in TFDS's syntax (`'train[:90%]'`).
        By default `'train'`, or the first 90 % of the only split.
      eval_split: What is evaluated on. By default `'test'`, or else
        `'validation'`, or the last 10 % of the only split.
      bits: How many bits values fill, where they have room for more: `12` of
        files of 16 bits. They are brought to the top, of 8 bits, or of 16
        where more than 8 are modelled. `None` takes all.
      channels: `1` makes images grey, `3` makes grey ones RGB; `None` leaves
        them as they are.
      crop: What is cut out before resizing: a size, from the centre; or
        `(top, left, height, width)`; or `'random'`: a window of `image_size`
        out of the image resized to `shorter_side`, another at each step, and
        the central one in evaluation. `None` cuts no more than resizing
        without distortion needs.
      shorter_side: Where `crop` is `'random'`, to how many pixels the shorter
        side is resized beforehand; `None` leaves it.
      image_size: The size to resize to; `None` leaves it.
      antialias: Whether resizing to fewer pixels averages over all that a new
        pixel covers; otherwise it interpolates between the nearest four.
      pad: How many black pixels are added on each side, after resizing.
      flip: Whether training images are flipped left to right at random.
      shift: How far training images are shifted at random at most, either way:
        a whole number of pixels, or a part of each side, as `0.1` of Glow's
        runs, which interpolates; or a pair, down and sideways. What comes in
        repeats the edge.
      mutate: Which share of the values of training images is drawn anew at
        random, for the background model of `training.score`: 0.1, say.
      condition: What the model is told of each image, as a map:
        `'downsample:4'`, the image at a quarter of its size; `'grey'`, its
        grey values; `'mask:16'`, the image with a hidden square of 16x16, whose
        place is drawn at random; or maps of one's own, `'image_folder:PATH'`,
        images of the same names and sizes as those of an `image_folder`, or
        `'feature_map'`, the arrays `train_feature_map` and so on of an `npz`.
        `None` tells it nothing.
      data_dir: Where TFDS's data sets are; its own default where `None`.
      cache_dir: Where prepared images are kept; `None` is `tfp_glow` in
        `$XDG_CACHE_HOME`, which is `~/.cache` where not set.
  """
  fields = ml_collections.ConfigDict({
      'name': 'digits',
      'train_split': config_dict.placeholder(str),
      'eval_split': config_dict.placeholder(str),
      'bits': config_dict.placeholder(int),
      'channels': config_dict.placeholder(int),
      'crop': config_dict.placeholder(object),
      'shorter_side': config_dict.placeholder(int),
      'image_size': config_dict.placeholder(object),
      'antialias': True,
      'pad': 0,
      'flip': False,
      'shift': config_dict.placeholder(object),
      'mutate': 0.,
      'condition': config_dict.placeholder(str),
      'data_dir': config_dict.placeholder(str),
      'cache_dir': config_dict.placeholder(str),
  })
  return fields.lock()  # a name that is mistyped is an error
