"""The engine's deliveries to an Open Inference reply: rows side by side, padded with zeros, always raw.

Each output is copied once, into the bytes that the message holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cellserve.service.api.requests.empty_rows import answers
from cellserve.service.api.requests.outputs import (
    FLOAT_BYTES,
    WantedOutputs,
    buffer,
    compute_seconds,
    queue_seconds,
    reply_shape,
    row_bytes,
    state_bytes,
)
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.api.requests.signature import STATE_PREFIX, OutputSignature, Signature
from cellserve.service.api.requests.tensors import Array
from cellserve.service.engine.batch import Delivery
from cellserve.service.pb import open_inference_pb2 as pb


def infer_response(
    request_id: str,
    version: tuple[str, int],
    signature: Signature,
    wanted: WantedOutputs,
    rows: RowInputs,
    done: Sequence[Delivery],
) -> pb.ModelInferResponse:
    """done: the delivery of each row, in order."""
    response = pb.ModelInferResponse(model_name=version[0], model_version=str(version[1]), id=request_id)
    _add_parameters(response.parameters, done)
    outputs, raw = response.outputs, response.raw_output_contents
    for name in wanted.names:
        shape = reply_shape(signature, name, rows)
        outputs.add(name=name, datatype="FP32", shape=shape)
        if name.startswith(STATE_PREFIX):
            columns = signature.states[name.removeprefix(STATE_PREFIX)]
            data = state_bytes(done, columns.start, columns.width)
        else:
            position = signature.output_names.index(name)
            output = signature.outputs[position]
            data = _output_bytes(output, answers(output, position, rows, done), shape)
        raw.append(data)
    return response


def _output_bytes(output: OutputSignature, rows: Sequence[Array], shape: Sequence[int]) -> bytes:
    if not output.per_step or all(len(row) == shape[1] for row in rows):
        return row_bytes(rows)
    step_bytes = FLOAT_BYTES * math.prod(output.features)
    padding = memoryview(bytes(step_bytes * (shape[1] - min(len(row) for row in rows))))
    parts: list[memoryview] = []
    for row in rows:
        parts += (buffer(row), padding[: step_bytes * (shape[1] - len(row))])
    return b"".join(parts)


def _add_parameters(parameters: Any, done: Sequence[Delivery]) -> None:
    parameters["implementation"].string_param = done[0].implementation
    parameters["queue_us"].int64_param = round(1e6 * queue_seconds(done))
    parameters["compute_us"].int64_param = round(1e6 * compute_seconds(done))
    parameters["iterations"].int64_param = max([delivery.iterations for delivery in done])
