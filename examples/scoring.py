"""Which of these images are no faces? Scores of the pretrained model.

    python examples/scoring.py

The higher a score, the more unusual is the image. docs/unusual-images.md says
which score to take, and where bits/dim alone are wrong.
"""

import numpy as np

import tfp_glow


def main(count=16):
  """Scores faces and two kinds of others; returns the medians by kind."""
  model = tfp_glow.pretrained('faces')
  typical = tfp_glow.Typicality.fit(model.held_out_bits_per_dim)
  faces = model.examples[:count]
  generator = np.random.default_rng(0)
  kinds = {
      'faces': faces,
      'noise': generator.integers(0, 256, faces.shape, dtype=np.uint8),
      'one colour': np.broadcast_to(generator.integers(
          0, 256, (count, 1, 1, 3), dtype=np.uint8), faces.shape),
  }
  medians = {
      kind: {method: float(np.median(
          tfp_glow.score(model, images, method, reference)))
             for method, reference in (
                 ('bits_per_dim', None), ('complexity', None),
                 ('typicality', typical))}
      for kind, images in kinds.items()}
  for kind, scores in medians.items():
    print(f'{kind:<12}' + ''.join(
        f'{method} {value:6.2f}  ' for method, value in scores.items()))
  return medians


if __name__ == '__main__':
  main()
