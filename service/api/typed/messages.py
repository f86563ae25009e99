"""Tensors and answers in the words of cellserve.v1: what whole and live sequences share. Messages in, arrays out, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.step_counts import steps_of
from cellserve.service.api.door import CheckedRequest
from cellserve.service.api.requests import checks, outputs
from cellserve.service.api.requests.empty_rows import answers
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.requests.tensors import Array, from_bytes, require_datatype
from cellserve.service.api.typed import ragged
from cellserve.service.engine.batch import Delivery
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion

_NAMES: Final = {
    pb.FLOAT32: "FP32",
    pb.FLOAT16: "FP16",
    pb.BFLOAT16: "BF16",
    pb.INT32: "INT32",
    pb.INT64: "INT64",
    pb.BOOL: "BOOL",
}


def array(tensor: pb.Tensor, name: str, expected: tuple[str, ...], field: str) -> Array:
    """Raises InvalidInput: another datatype than those expected, bytes that contradict the shape."""
    datatype = _NAMES.get(tensor.dtype, f"number {tensor.dtype}")
    require_datatype(name, datatype, expected, field)
    return from_bytes(name, datatype, tensor.shape, tensor.data, field)


def tensor(array: NDArray[np.generic]) -> pb.Tensor:
    """Of floats, or of ids [T], as the engine has them."""
    ids = array.dtype.kind != "f"
    data = array.astype("<i8" if ids else "<f4", copy=False).tobytes()
    return pb.Tensor(dtype=pb.INT64 if ids else pb.FLOAT32, shape=array.shape, data=data)


def inputs(first: pb.Tensor, more: Sequence[pb.Tensor], signature: Signature) -> tuple[list[Array], tuple[str, ...]]:
    """The arrays of a request in the order of the model's inputs, and the path of each in error details. Raises InvalidInput."""
    given = (first, *more)
    ragged.require_input_count(signature, len(given))
    fields = ("inputs", *(f"more_inputs[{position}]" for position in range(len(more))))
    arrays = [
        array(tensor, expected.name, ragged.datatypes(expected), field)
        for tensor, expected, field in zip(given, signature.inputs, fields)
    ]
    return arrays, fields


def states(given: Mapping[str, pb.Tensor], signature: Signature) -> dict[str, Array]:
    """By key ("0.h"). Raises InvalidInput: a state that the model does not have."""
    return {
        key: array(tensor, f"state {key}", ragged.state_datatypes(signature, key), f"state.{key[:64]}")
        for key, tensor in given.items()
    }


def state_row(given: Mapping[str, pb.Tensor], signature: Signature) -> NDArray[np.float32] | None:
    """The states [1, units] or [units] of one row side by side, [state width]; None for none. Raises InvalidInput."""
    arrays = {key: each[np.newaxis] if each.ndim == 1 else each for key, each in states(given, signature).items()}
    joined = checks.states(signature, {key: (f"state.{key}", each) for key, each in arrays.items()}, rows=1)
    return None if joined is None else joined[0]


def run_reply(version: LoadedVersion, signature: Signature, checked: CheckedRequest, done: Sequence[Delivery]) -> pb.RunReply:
    """done: the delivery of each row, in order."""
    reply = pb.RunReply(
        model=version.key.model,
        version=str(version.key.version),
        implementation=done[0].implementation,
        queue_seconds=outputs.queue_seconds(done),
        compute_seconds=outputs.compute_seconds(done),
        iterations=max([delivery.iterations for delivery in done]),
    )
    lengths: list[int] | None = None
    for position, output in enumerate(signature.outputs):
        arrays = answers(output, position, checked.rows, done)
        own, first = None, len(arrays)
        if output.per_step:
            steps = [len(array) for array in arrays]
            first, lengths = sum(steps), steps if lengths is None else lengths
            own = None if steps == lengths else steps
        tensor = pb.Tensor(dtype=pb.FLOAT32, shape=(first, *output.features), data=outputs.row_bytes(arrays))
        reply.outputs.add(name=output.name, per_step=output.per_step, tensor=tensor, lengths=own)
    if lengths is None:
        lengths = [steps_of(fed, signature.timed) for fed in checked.rows.lengths]
    reply.lengths.extend(lengths)
    if checked.wanted.want_state:
        for key, columns in signature.states.items():
            data = outputs.state_bytes(done, columns.start, columns.width)
            reply.state[key].CopyFrom(pb.Tensor(dtype=pb.FLOAT32, shape=(len(done), columns.width), data=data))
    return reply
