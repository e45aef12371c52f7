import numpy as np
from PIL import Image

from benchmarks import unusual_faces


def test_the_folders_have_what_they_say(tmp_path, capsys):
  assert unusual_faces.main(
      [str(tmp_path), '--count=12', '--name=faces/32x32_200']) == 0
  assert capsys.readouterr().out.count(': 12 images') == 3
  faces, patched, digits = (
      np.stack([np.asarray(Image.open(path))
                for path in sorted((tmp_path / kind).iterdir())]).astype(int)
      for kind in ('faces', 'patched', 'digits'))
  assert faces.shape == patched.shape == digits.shape == (12, 32, 32, 3)
  changed = (faces != patched).any(axis=-1)
  assert 6 <= changed.any(axis=(1, 2)).sum() and (
      changed.sum(axis=(1, 2)).max() <= 100)
  for image in changed[changed.any(axis=(1, 2))]:
    rows, columns = np.nonzero(image)
    assert np.ptp(rows) < 10 and np.ptp(columns) < 10
  assert digits.std(axis=(1, 2)).min() > 0.
