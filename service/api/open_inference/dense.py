"""The usual ModelInferRequest, checked in few operations: one input of features, dense and raw, and nothing asked beside it.

Anything else is left to the general way, errors too, so that every answer and every sentence is the one of `padded`. Rows are
views of the message's bytes.
"""

from __future__ import annotations

import numpy as np

from cellserve.service.api.door import CheckedRequest
from cellserve.service.api.requests import outputs
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import Limits, RowInputs, RunOptions
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.requests.tensors import DTYPES
from cellserve.service.pb import open_inference_pb2 as pb

_FLOAT = DTYPES["FP32"]


def check(
    request: pb.ModelInferRequest, signature: Signature, limits: Limits, deadline_seconds: float | None
) -> CheckedRequest | None:
    """request: without parameters. None if it is not of this kind, or wrong in any way but for a reply that is too large.

    Raises InvalidInput for the latter.
    """
    expected = signature.dense
    inputs, raw = request.inputs, request.raw_input_contents
    if expected is None or len(inputs) != 1 or len(raw) != 1 or request.outputs:
        return None
    given, data = inputs[0], raw[0]
    if given.name != expected.name or given.datatype != "FP32" or given.HasField("contents") or given.parameters:
        return None
    shape = tuple(given.shape)
    if len(shape) != 3 or shape[2] != expected.width:
        return None
    rows, steps, width = shape
    if not (
        0 < rows <= limits.rows
        and max(1, expected.fewest_steps) <= steps <= limits.steps
        and len(data) == 4 * rows * steps * width
    ):
        return None
    array = np.frombuffer(data, _FLOAT).reshape(shape)
    if not np.logical_and.reduce(np.isfinite(array), axis=None):
        return None
    row_inputs = RowInputs((list(array),), None, None, [steps] * rows, steps)
    wanted = WantedOutputs(signature.output_names)
    outputs.require_reply_fits(signature, wanted, row_inputs, limits)
    return CheckedRequest(row_inputs, RunOptions(None, False, deadline_seconds), wanted)
