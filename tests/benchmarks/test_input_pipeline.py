import pytest

from benchmarks import input_pipeline
import tfp_glow
from training import data


def test_waiting_is_told_from_training():
  now = 0.

  def spend(seconds):
    nonlocal now
    now += seconds

  def batches():
    while True:
      spend(1.)
      yield None

  result = input_pipeline.measure(
      batches, lambda batch: spend(4.), num_steps=3, num_rounds=2,
      clock=lambda: now)
  assert result == input_pipeline.Result(4., .25, 5.)


@pytest.mark.slow
def test_a_small_run(tmp_path):
  config = data.get_config()
  config.cache_dir = str(tmp_path)
  flow = tfp_glow.Glow((8, 8, 1), levels=1, steps=1, width=4, seed=0)
  result = input_pipeline.run(config, flow, 4, 20, num_steps=2, num_rounds=1)
  assert result.step_seconds > 0 and result.waited > 0 and result.alone > 0
