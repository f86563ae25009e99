"""The engine's deliveries to an Open Inference reply: rows side by side, padded with zeros, always raw.

Each output is copied once, into the bytes that the message holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellserve.service.api.empty_rows import answers
from cellserve.service.api.requests import Limits, RowInputs
from cellserve.service.api.signature import STATE_PREFIX, OutputSignature, Signature
from cellserve.service.api.tensors import Array
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import open_inference_pb2 as pb

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class WantedOutputs:
    """What a reply holds, in order: names of outputs ("outputs_1") and of final states ("state.0.h")."""

    names: tuple[str, ...]

    @property
    def want_state(self) -> bool:
        return any(name.startswith(STATE_PREFIX) for name in self.names)

    @classmethod
    def of(cls, signature: Signature, asked: Sequence[str], return_state: bool) -> WantedOutputs:
        """asked: empty for all outputs. Raises InvalidInput: a name that the model does not have, or one asked for twice."""
        outputs = signature.output_names
        if not asked and not return_state:
            return cls(outputs)
        states = [STATE_PREFIX + key for key in signature.states]
        for position, name in enumerate(asked):
            field = f"outputs.{name[:64]}"
            if name not in outputs and name not in states:
                known = ", ".join((*outputs, *states))
                raise InvalidInput(f"the model has no output {name[:64]!r}; it has {known}", field=field)
            if name in asked[:position]:
                raise InvalidInput(f"the output {name!r} is asked for twice", field=field)
        names = list(asked or outputs)
        if return_state:
            names += [name for name in states if name not in names]
        return cls(tuple(names))


def require_reply_fits(signature: Signature, wanted: WantedOutputs, rows: RowInputs, limits: Limits) -> None:
    """Raises InvalidInput when the reply's tensors would be larger than a message may be."""
    total = sum([_FLOAT_BYTES * math.prod(_shape(signature, name, rows)) for name in wanted.names])
    if total > limits.reply_bytes:
        raise InvalidInput(
            f"the reply would have {total} bytes, more than the {limits.reply_bytes} of a message; "
            "ask for fewer rows, or for fewer outputs"
        )


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
        shape = _shape(signature, name, rows)
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


def state_bytes(done: Sequence[Delivery], start: int, width: int) -> bytes:
    """Columns start … start+width of each row's final state, [rows, width] float32."""
    return b"".join(_buffer(delivery.state[start : start + width]) for delivery in done if delivery.state is not None)


def row_bytes(rows: Sequence[Array]) -> bytes:
    """Arrays one after the other, as float32."""
    if len(rows) == 1:
        return np.ascontiguousarray(rows[0], np.float32).tobytes()
    return b"".join(_buffer(row) for row in rows)


def _output_bytes(output: OutputSignature, rows: Sequence[Array], shape: Sequence[int]) -> bytes:
    if not output.per_step or all(len(row) == shape[1] for row in rows):
        return row_bytes(rows)
    step_bytes = _FLOAT_BYTES * math.prod(output.features)
    padding = memoryview(bytes(step_bytes * (shape[1] - min(len(row) for row in rows))))
    parts: list[memoryview] = []
    for row in rows:
        parts += (_buffer(row), padding[: step_bytes * (shape[1] - len(row))])
    return b"".join(parts)


def _buffer(row: Array) -> memoryview:
    return np.ascontiguousarray(row, np.float32).data


def _shape(signature: Signature, name: str, rows: RowInputs) -> tuple[int, ...]:
    batch = len(rows.lengths)
    if name.startswith(STATE_PREFIX):
        return (batch, signature.states[name.removeprefix(STATE_PREFIX)].width)
    output = signature.outputs[signature.output_names.index(name)]
    if not output.per_step:
        return (batch, *output.features)
    return (batch, output.time_steps or output.step_count.steps(rows.time_steps), *output.features)


def _add_parameters(parameters: Any, done: Sequence[Delivery]) -> None:
    parameters["implementation"].string_param = done[0].implementation
    parameters["queue_us"].int64_param = round(1e6 * queue_seconds(done))
    parameters["compute_us"].int64_param = round(1e6 * compute_seconds(done))
    parameters["iterations"].int64_param = max([delivery.iterations for delivery in done])


def queue_seconds(done: Sequence[Delivery]) -> float:
    """The longest wait of a row before its first iteration."""
    return max([delivery.queue_seconds for delivery in done])


def compute_seconds(done: Sequence[Delivery]) -> float:
    """The rows' shares of the iterations they took part in."""
    return sum([delivery.compute_seconds for delivery in done])
