"""The engine's deliveries to an Open Inference reply: rows side by side, padded with zeros, always raw.

Each output is copied once, into the bytes that the message holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

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

IMPLEMENTATION: Final = "implementation"  # the parameter that names it


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
    implementation, *numbers = parameters(done)
    response.parameters[implementation[0]].string_param = implementation[1]
    for name, value in numbers:
        response.parameters[name].int64_param = value
    for name, shape, data in tensors(signature, wanted, rows, done):
        response.outputs.add(name=name, datatype="FP32", shape=shape)
        response.raw_output_contents.append(data)
    return response


def tensors(
    signature: Signature, wanted: WantedOutputs, rows: RowInputs, done: Sequence[Delivery]
) -> list[tuple[str, tuple[int, ...], bytes]]:
    """The name, shape and bytes of each that is wanted, in order."""
    made: list[tuple[str, tuple[int, ...], bytes]] = []
    for name in wanted.names:
        shape = reply_shape(signature, name, rows)
        if name.startswith(STATE_PREFIX):
            columns = signature.states[name.removeprefix(STATE_PREFIX)]
            data = state_bytes(done, columns.start, columns.width)
        else:
            position = signature.output_names.index(name)
            output = signature.outputs[position]
            data = _output_bytes(output, answers(output, position, rows, done), shape)
        made.append((name, shape, data))
    return made


def parameters(done: Sequence[Delivery]) -> tuple[tuple[str, str], tuple[str, int], tuple[str, int], tuple[str, int]]:
    """What a reply tells of how it was made, by name."""
    return (
        (IMPLEMENTATION, done[0].implementation),
        ("queue_us", round(1e6 * queue_seconds(done))),
        ("compute_us", round(1e6 * compute_seconds(done))),
        ("iterations", max([delivery.iterations for delivery in done])),
    )


def _output_bytes(output: OutputSignature, rows: Sequence[Array], shape: Sequence[int]) -> bytes:
    if not output.per_step or all(len(row) == shape[1] for row in rows):
        return row_bytes(rows)
    step_bytes = FLOAT_BYTES * math.prod(output.features)
    padding = memoryview(bytes(step_bytes * (shape[1] - min(len(row) for row in rows))))
    parts: list[memoryview] = []
    for row in rows:
        parts += (buffer(row), padding[: step_bytes * (shape[1] - len(row))])
    return b"".join(parts)
