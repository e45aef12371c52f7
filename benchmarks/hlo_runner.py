r"""Runs a program that `benchmarks.hlo` wrote; needs NumPy and JAX alone.

```shell
python hlo_runner.py FOLDER [FOLDER ...] [--reps 30] [--peak-tflops 989] \
    [--json FILE]
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


def summary(folder, reps, tolerance=1e-3):
  """Measures a program, see `measure`, and says what its figures mean.

  Args:
    folder: `pathlib.Path` that `benchmarks.hlo.dump` wrote.
    reps: Python `int`, how often to run it.
    tolerance: Python `float`, error that is too much. Default value: `1e-3`.

  Returns:
    row: `dict` that JSON can tell.
  """
  about = json.loads((folder / DESCRIPTION).read_text())
  row = {'program': folder.name, **measure(folder, reps)}
  milliseconds = row.pop('milliseconds')
  low, median, high = np.percentile(milliseconds, [25, 50, 75]).tolist()
  row.update(
      milliseconds=median, quartiles=[low, high],
      images_per_second=1e3 * about['batch_size'] / median,
      convolution_tflops=about['convolution_flops'] / median / 1e9,
      equal=None if row['error'] is None else row['error'] <= tolerance)
  return row


def line(row, peak_tflops=None):
  """What `summary` found, in a line.

  Args:
    row: `dict`.
    peak_tflops: Python `float`, the device's peak. Default value: `None`.
  """
  low, high = row['quartiles']
  text = (
      f'{row["program"]}: {row["device"]}, JAX {row["jax"]}: '
      f'compiled in {row["compile_seconds"]:.1f} s, '
      f'{row["milliseconds"]:.2f} ms a step ({low:.2f} .. {high:.2f}), '
      f'{row["images_per_second"]:.1f} images/s, '
      f'{row["arguments_mebibytes"]:.0f} MiB of arguments and '
      f'{row["planned_mebibytes"]:.0f} MiB planned')
  if row['convolution_tflops']:
    text += f', {row["convolution_tflops"]:.1f} TFLOP/s in convolutions'
    if peak_tflops:
      text += f', {row["convolution_tflops"] / peak_tflops:.1%} of the peak'
  if row['equal'] is None:
    return text + ', nothing to compare with'
  return text + (f', error {row["error"]:.1e}: '
                 f'{"equal" if row["equal"] else "DIFFERENT"}')


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
  parser.add_argument('--json', type=pathlib.Path,
                      help='file to write the figures to as well')
  args = parser.parse_args(argv)
  rows = []
  for folder in args.folders:
    rows.append(summary(folder, args.reps, args.tolerance))
    print(line(rows[-1], args.peak_tflops), flush=True)
    if args.json:
      args.json.write_text(json.dumps(rows, indent=1) + '\n')
  return int(any(row['equal'] is False for row in rows))


if __name__ == '__main__':
  sys.exit(main())
