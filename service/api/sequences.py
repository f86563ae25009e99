"""cellserve.v1.Sequences: ragged batches without padding, in calls and on streams. Messages in, messages out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from cellserve.service.api import ragged, replies
from cellserve.service.api.door import Door, Planned
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.implementations import choose
from cellserve.service.api.ragged import RaggedBatch
from cellserve.service.api.replies import WantedOutputs
from cellserve.service.api.requests import RunOptions, deadline
from cellserve.service.api.sequence_stream import SequenceStream
from cellserve.service.api.signature import Signature
from cellserve.service.api.streams import StreamedRequests, answers
from cellserve.service.api.tensors import Array, from_bytes, require_datatype
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb.cellserve_pb2_grpc import SequencesServicer
from cellserve.service.registry.lease import LoadedVersion

_NAMES: Final = {
    pb.FLOAT32: "FP32",
    pb.FLOAT16: "FP16",
    pb.BFLOAT16: "BF16",
    pb.INT32: "INT32",
    pb.INT64: "INT64",
    pb.BOOL: "BOOL",
}


class TypedSequencesServicer(SequencesServicer):
    def __init__(self, door: Door, observer: DoorObserver) -> None:
        self._door = door
        self._around = StreamedRequests(observer)

    async def Run(self, request: pb.RunRequest, context: Any) -> pb.RunReply:
        return await self._run(request, deadline(context.time_remaining(), None))

    async def Stream(self, requests: AsyncIterator[pb.StreamRequest], context: Any) -> AsyncIterator[pb.StreamReply]:
        await context.send_initial_metadata(())
        stream = SequenceStream(self._run, self._around, context.time_remaining)
        closed = self._door.execution.closed()
        async with aclosing(answers(requests, stream.start, self._door.limits.unanswered, closed)) as replies:
            async for reply in replies:
                yield reply

    async def _run(self, request: pb.RunRequest, ends_seconds: float | None) -> pb.RunReply:
        plan = partial(self._plan, request, ends_seconds)
        return await self._door.run(request.model, request.version, plan, _reply)

    def _plan(self, request: pb.RunRequest, ends_seconds: float | None, version: LoadedVersion, signature: Signature) -> Planned:
        rows = ragged.rows(signature, _batch(request, signature), self._door.limits)
        wanted = WantedOutputs.of(signature, (), request.return_state)
        replies.require_reply_fits(signature, wanted, rows, self._door.limits)
        implementation = choose(request.implementation, version.implementations, "implementation")
        return Planned(rows, RunOptions(implementation, wanted.want_state, ends_seconds, request.priority), wanted)


def _batch(request: pb.RunRequest, signature: Signature) -> RaggedBatch:
    if not request.HasField("inputs"):
        raise InvalidInput("the request has no inputs", field="inputs")
    given = (request.inputs, *request.more_inputs)
    ragged.require_input_count(signature, len(given))
    fields = ("inputs", *(f"more_inputs[{position}]" for position in range(len(request.more_inputs))))
    inputs = [
        _array(tensor, expected.name, ragged.datatypes(expected), field)
        for tensor, expected, field in zip(given, signature.inputs, fields)
    ]
    mask = _array(request.mask, "mask", ("BOOL",), "mask") if request.HasField("mask") else None
    states = {
        key: _array(tensor, f"state {key}", ragged.state_datatypes(signature, key), f"state.{key[:64]}")
        for key, tensor in request.state.items()
    }
    return RaggedBatch(request.lengths, inputs, fields, mask, states)


def _array(tensor: pb.Tensor, name: str, expected: tuple[str, ...], field: str) -> Array:
    datatype = _NAMES.get(tensor.dtype, f"number {tensor.dtype}")
    require_datatype(name, datatype, expected, field)
    return from_bytes(name, datatype, tensor.shape, tensor.data, field)


def _reply(version: LoadedVersion, signature: Signature, planned: Planned, done: list[Delivery]) -> pb.RunReply:
    reply = pb.RunReply(
        model=version.key.model,
        version=str(version.key.version),
        implementation=done[0].implementation,
        queue_seconds=replies.queue_seconds(done),
        compute_seconds=replies.compute_seconds(done),
        iterations=max(delivery.iterations for delivery in done),
        lengths=planned.rows.lengths,
    )
    for position, output in enumerate(signature.outputs):
        arrays = [delivery.outputs[position] for delivery in done]
        first = sum(map(len, arrays)) if output.per_step else len(arrays)
        tensor = pb.Tensor(dtype=pb.FLOAT32, shape=(first, *output.features), data=replies.row_bytes(arrays))
        reply.outputs.add(name=output.name, per_step=output.per_step, tensor=tensor)
    if planned.wanted.want_state:
        for key, columns in signature.states.items():
            data = replies.state_bytes(done, columns.start, columns.width)
            reply.state[key].CopyFrom(pb.Tensor(dtype=pb.FLOAT32, shape=(len(done), columns.width), data=data))
    return reply
