"""Runs a program that `benchmarks.hlo` wrote; needs NumPy and JAX alone.

```shell
python hlo_runner.py FOLDER [FOLDER ...] [--reps 30] [--peak-tflops 989]
```

What it times is XLA's program as TensorFlow gave it to XLA for the CPU,
compiled by JAX for its own device: XLA's time for the model, not that of
TensorFlow's kernels. What a step assigns goes into the next one.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np

PROGRAM, DESCRIPTION = 'program.hlo.pb', 'description.json'
ARGUMENTS, RESULTS = 'arguments.npz', 'results.npz'


def draw(seed, shape, deviation):
  """Normal noise, the same wherever it is drawn, float32 `shape`."""
  noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
  return np.float32(deviation) * noise


def load(path):
  """The arrays of a file, by number."""
  with np.load(path) as arrays:
    return {int(name): arrays[name] for name in arrays.files}


def worst_error(results, wanted):
  """The greatest difference of a stored array, over its greatest value."""
  worst = 0.
  for k, want in wanted.items():
    difference = np.max(np.abs(np.asarray(results[k], np.float64) - want))
    worst = max(worst, float(difference / (np.max(np.abs(want)) + 1e-12)))
  return worst


def measure(folder, reps):
  """Compiles a program, runs it, and compares what it gives.

  Args:
    folder: `pathlib.Path` that `benchmarks.hlo.dump` wrote.
    reps: Python `int`, how often to run it.

  Returns:
    figures: `dict` of the device, seconds to compile, milliseconds of each
      step, mebibytes of arguments and of what XLA plans beside them, and the
      error, or `None` where there is nothing to compare with.
  """
  import jax
  from jax._src.lib import xla_client

  computation = xla_client.XlaComputation((folder / PROGRAM).read_bytes())
  module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
  device = jax.devices()[0]
  start = time.perf_counter()
  executable = device.client.compile_and_load(
      module, xla_client.DeviceList((device,)), xla_client.CompileOptions())
  compile_seconds = time.perf_counter() - start
  about = json.loads((folder / DESCRIPTION).read_text())
  arguments = load(folder / ARGUMENTS)
  for k, (shape, deviation) in about['drawn'].items():
    arguments[int(k)] = draw(int(k), shape, deviation)
  buffers = [jax.device_put(arguments[k], device) for k in sorted(arguments)]

  def step():
    outputs = executable.execute_sharded(buffers)
    results = [on_devices[0] for on_devices in
               outputs.disassemble_into_single_device_arrays()]
    for output, parameter in about['aliases']:
      buffers[parameter] = results[output]
    return jax.block_until_ready(results)

  # Copies, because the next step writes where these are.
  first = [np.array(result) for result in step()]
  step()
  times = []
  for _ in range(reps):
    start = time.perf_counter()
    step()
    times.append(1e3 * (time.perf_counter() - start))
  sizes = executable.get_compiled_memory_stats()
  error = None
  if (folder / RESULTS).exists():
    error = worst_error(first, load(folder / RESULTS))
  return {
      'device': device.device_kind, 'jax': jax.__version__,
      'compile_seconds': compile_seconds, 'milliseconds': times,
      'arguments_mebibytes': sizes.argument_size_in_bytes / 2**20,
      'planned_mebibytes': sizes.temp_size_in_bytes / 2**20, 'error': error}


def main(argv=None):
  """Prints a line for each program.

  Args:
    argv: List of arguments. Default value: `None`, those of the command line.

  Returns:
    status: `0` if all outputs are equal within the tolerance, else `1`.
  """
  parser = argparse.ArgumentParser(
      description='Times XLA programs that TensorFlow made, with JAX.')
  parser.add_argument('folders', nargs='+', type=pathlib.Path)
  parser.add_argument('--reps', type=int, default=30, help='default: 30')
  parser.add_argument('--tolerance', type=float, default=1e-3,
                      help='relative error that is too much; default: 1e-3')
  parser.add_argument('--peak-tflops', type=float,
                      help="the device's peak, to say what share is reached")
  args = parser.parse_args(argv)
  status = 0
  for folder in args.folders:
    about = json.loads((folder / DESCRIPTION).read_text())
    figures = measure(folder, args.reps)
    median = float(np.median(figures['milliseconds']))
    low, high = np.percentile(figures['milliseconds'], [25, 75])
    line = (
        f'{folder.name}: {figures["device"]}, JAX {figures["jax"]}: '
        f'compiled in {figures["compile_seconds"]:.1f} s, '
        f'{median:.2f} ms a step ({low:.2f} .. {high:.2f}), '
        f'{1e3 * about["batch_size"] / median:.1f} images/s, '
        f'{figures["arguments_mebibytes"]:.0f} MiB of arguments and '
        f'{figures["planned_mebibytes"]:.0f} MiB planned')
    if args.peak_tflops and about['convolution_flops']:
      share = about['convolution_flops'] / median / args.peak_tflops / 1e9
      line += f', {share:.1%} of the peak in convolutions'
    if figures['error'] is None:
      line += ', nothing to compare with'
    else:
      same = figures['error'] <= args.tolerance
      status = status if same else 1
      line += (f', error {figures["error"]:.1e}: '
               f'{"equal" if same else "DIFFERENT"}')
    print(line, flush=True)
  return status


if __name__ == '__main__':
  sys.exit(main())
