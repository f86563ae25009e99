"""The usual ModelInferRequest, checked in few operations: one input of features, dense and raw, and nothing asked beside it.

Anything else is left to the general way, errors too, so that every answer and every sentence is the one of `padded`. Rows are
views of the tensor's bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cellserve.service.api.door import CheckedRequest
from cellserve.service.api.requests import outputs
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import Limits, RowInputs, RunOptions
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.requests.tensors import DTYPES
from cellserve.service.pb import open_inference_pb2 as pb

_FLOAT = DTYPES["FP32"]


class DenseTensor(NamedTuple):
    """The only input of a request, FP32. shape, data: as the client says and sends them."""

    name: str
    shape: tuple[int, ...]
    data: bytes


def tensor_in(request: pb.ModelInferRequest) -> DenseTensor | None:
    """None if it is not of this kind."""
    inputs, raw = request.inputs, request.raw_input_contents
    if len(inputs) != 1 or len(raw) != 1 or request.outputs or request.parameters:
        return None
    given = inputs[0]
    if given.datatype != "FP32" or given.HasField("contents") or given.parameters:
        return None
    return DenseTensor(given.name, tuple(given.shape), raw[0])


def check(
    tensor: DenseTensor | None, signature: Signature, limits: Limits, deadline_seconds: float | None
) -> CheckedRequest | None:
    """None if there is no such tensor, or it is wrong in any way but for a reply that is too large.

    Raises InvalidInput for the latter.
    """
    expected = signature.dense
    if expected is None or tensor is None:
        return None
    name, shape, data = tensor
    if name != expected.name or len(shape) != 3 or shape[2] != expected.width:
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
