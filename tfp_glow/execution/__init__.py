"""How a row of layers is evaluated. It knows the contract, and no layer."""

import tensorflow as tf

from tfp_glow import tf_internals
from tfp_glow.execution import reversible
from tfp_glow.execution import scan
from tfp_glow.execution import stored
from tfp_glow.execution.context import Context
from tfp_glow.execution.context import PreparedWeights
from tfp_glow.execution.context import ReconstructionErrors
from tfp_glow.execution.context import Updates
from tfp_glow.execution.contract import Layer
from tfp_glow.execution.contract import per_event
from tfp_glow.execution.contract import sum_log_det
from tfp_glow.execution.plan import Plan
from tfp_glow.execution.plan import Segment
from tfp_glow.execution.plan import segments
from tfp_glow.execution.prepared import prepare_one
from tfp_glow.execution.stacking import stack_weights
from tfp_glow.execution.stored import event_shape

MEMORY = ('store', 'recompute')


def evaluate(segment, value, inverse, context, event_ndims, memory):
  """Evaluates the layers of a segment.

  Args:
    segment: `Segment`.
    value: `Tensor` `[..., *event]`.
    inverse: Whether to go from data to latent.
    context: `Context`.
    event_ndims: Rank of an event.
    memory: One of `MEMORY`, what the gradient costs.

  Returns:
    result: `Tensor` `[..., *event]`.
    log_det: `Tensor`, `[...]` or `[]`.
  """
  if context.errors is not None:
    context.errors.add(value, reversible.reconstruction(
        segment, value, inverse, context, event_ndims))
  way = stored
  if memory == 'recompute' and context.prepared is None and (
      tf_internals.is_recording() and
      # TensorFlow's forward mode cannot go through a gradient of one's own.
      not tf_internals.is_in_forward_mode(
          _all_read(segment, value, context))):
    way = scan if scan.fits(segment) else reversible
  return way.evaluate(segment, value, inverse, context, event_ndims)


def _all_read(segment, value, context):
  """Returns the tensors and variables that a segment is evaluated with."""
  conditions = [c for c in context.conditions.values() if tf.is_tensor(c)]
  variables = {v.ref(): v.handle for step in segment.steps
               for v in step.variables}
  return [value, *conditions, *variables.values()]
