"""Trained models that come with the package."""

import json
import os
import pathlib

import numpy as np

from tfp_glow.checkpoints import glow as checkpoint
from tfp_glow.checkpoints import tf1
from tfp_glow.flows import glow
from tfp_glow.model import FlowModel

_FOLDER = pathlib.Path(__file__).with_name('pretrained')
_WEIGHTS, _DIRECTIONS = 'weights/', 'directions/'


def pretrained(name: str) -> FlowModel:
  """Builds a trained model, with weights that come with the package.

  `'faces'` is a Glow of cartoon faces of 32x32 pixels at 5 bits, which
  `make pretrained` trains, in the repository. The faces are drawn of Pablo
  Stanley's Avataaars.

  Args:
    name: `'faces'`.

  Returns:
    model: `FlowModel`, which has beside what every one has

      directions: `dict` from attributes (`'smile'`, `'glasses'`, `'beard'`) to
        directions, float32 `[D]`, for `manipulate`. A strength of 1 is the way
        between the means of images without and with the attribute.
      examples: uint8 `[N, H, W, C]`, images that it was not trained on.
      held_out_bits_per_dim: float32 `[M]`, of all images of that kind.
      figures: `dict` of what was measured of it.

  Raises:
    ValueError: If there is no such model.

  #### Examples

  >>> model = pretrained('faces')
  >>> model.sample(16, temperature=0.7).shape
  TensorShape([16, 32, 32, 3])
  >>> manipulate(model, model.examples[:4], model.directions['smile'],
  ...            strengths=[0., 1., 2.]).shape
  TensorShape([4, 3, 32, 32, 3])
  """
  names = sorted(path.stem for path in _FOLDER.glob('*.json'))
  if name not in names:
    raise ValueError(f'`name` must be one of {names}, got {name!r}.')
  described = json.loads((_FOLDER / f'{name}.json').read_text())
  with np.load(_FOLDER / f'{name}.npz') as file:
    arrays = dict(file)
  flow = glow.Glow(**described['flow'], seed=0)
  tf1.assign_all(checkpoint.named_variables(flow), _below(_WEIGHTS, arrays))
  model = FlowModel(flow, num_bits=described['num_bits'], name=name)
  model.directions = _below(_DIRECTIONS, arrays)
  model.examples = arrays['examples']
  model.held_out_bits_per_dim = arrays['held_out_bits_per_dim']
  model.figures = described['figures']
  return model


def save_pretrained(model, name, directions, examples, held_out_bits_per_dim,
                    figures, folder=None):
  """Writes the files that `pretrained` reads.

  Weights are float32 arrays by the names of the paper's program, whatever the
  layout of the flow's variables.

  Args:
    model: `FlowModel` of a `Glow`, on centred pixels.
    name: Python `str`.
    directions: `dict` from names to float32 arrays `[D]`.
    examples: uint8 `[N, H, W, C]`.
    held_out_bits_per_dim: Floats `[M]`.
    figures: `dict` that JSON can hold.
    folder: Where to write. Default value: `None`, in the package.

  Returns:
    paths: The two files.
  """
  folder = pathlib.Path(folder or _FOLDER)
  folder.mkdir(parents=True, exist_ok=True)
  config = model.flow.get_config()
  described = {
      'flow': {argument: config[argument] for argument in (
          'image_shape', 'levels', 'steps', 'width', 'coupling', 'permutation',
          'learn_top', 'scale')},
      'num_bits': model.num_bits, 'figures': figures}
  arrays = {
      **{_WEIGHTS + key: variable.numpy() for key, variable in
         checkpoint.named_variables(model.flow).items()},
      **{_DIRECTIONS + key: np.asarray(direction, np.float32)
         for key, direction in directions.items()},
      'examples': np.asarray(examples, np.uint8),
      'held_out_bits_per_dim': np.asarray(held_out_bits_per_dim, np.float32)}
  paths = folder / f'{name}.npz', folder / f'{name}.json'
  for path, write in (
      (paths[0], lambda scratch: np.savez_compressed(scratch, **arrays)),
      (paths[1], lambda scratch: scratch.write_text(
          json.dumps(described, indent=2) + '\n'))):
    scratch = path.with_name(f'new_{path.name}')
    write(scratch)
    os.replace(scratch, path)
  return paths


def _below(prefix, arrays):
  """The arrays whose names begin so, by the rest of their names."""
  return {key.removeprefix(prefix): array for key, array in arrays.items()
          if key.startswith(prefix)}
