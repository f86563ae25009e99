"""cellserve.v1.Sequences: a table of its methods, and ragged batches without padding. Messages in, messages out.

What live sequences do is in live_sequences.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from cellserve.service.api.door import CheckedRequest, Door
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.overload.askers import streaming_asker_of
from cellserve.service.api.requests import outputs
from cellserve.service.api.requests.implementations import choose
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import RunOptions, deadline
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.streams import StreamedRequests, answers
from cellserve.service.api.typed import messages, ragged
from cellserve.service.api.typed.live_sequences import LiveSequences
from cellserve.service.api.typed.ragged import RaggedBatch
from cellserve.service.api.typed.sequence_stream import Act, SequenceStream
from cellserve.service.counted_log import CountedLog
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb.cellserve_pb2_grpc import SequencesServicer
from cellserve.service.registry.lease import LoadedVersion


class TypedSequencesServicer(SequencesServicer):
    def __init__(self, door: Door, observer: DoorObserver, refusal_log: CountedLog) -> None:
        self._door = door
        self._around = StreamedRequests(observer, refusal_log)
        self._live = LiveSequences(door)
        self._streamed: dict[str, Act] = {
            "run": self._run,
            "open": self._live.open,
            "feed": self._live.feed,
            "snapshot": self._live.snapshot,
            "close": self._live.close,
        }

    async def Run(self, request: pb.RunRequest, context: Any) -> pb.RunReply:
        return await self._run(request, deadline(context.time_remaining(), None))

    async def Stream(self, requests: AsyncIterator[pb.StreamRequest], context: Any) -> AsyncIterator[pb.StreamReply]:
        await context.send_initial_metadata(())
        stream = SequenceStream(self._streamed, self._around, context.time_remaining, streaming_asker_of(context))
        execution, most = self._door.execution, self._door.limits.unanswered
        async with aclosing(
            answers(requests, stream.start, most, execution.at_door, execution.turnstile, execution.closed())
        ) as replies:
            async for reply in replies:
                yield reply

    # --- live sequences ---

    async def Open(self, request: pb.OpenRequest, context: Any) -> pb.OpenReply:
        return await self._live.open(request, deadline(context.time_remaining(), None))

    async def Feed(self, request: pb.FeedRequest, context: Any) -> pb.FeedReply:
        return await self._live.feed(request, deadline(context.time_remaining(), None))

    async def Get(self, request: pb.GetRequest, context: Any) -> pb.SequenceInfo:
        return await self._live.get(request)

    async def List(self, request: pb.ListSequencesRequest, context: Any) -> pb.ListSequencesReply:
        return await self._live.list(request)

    async def Snapshot(self, request: pb.SnapshotRequest, context: Any) -> pb.SnapshotReply:
        return await self._live.snapshot(request)

    async def Restore(self, request: pb.RestoreRequest, context: Any) -> pb.SequenceInfo:
        return await self._live.restore(request)

    async def Fork(self, request: pb.ForkRequest, context: Any) -> pb.SequenceInfo:
        return await self._live.fork(request)

    async def Close(self, request: pb.CloseRequest, context: Any) -> pb.CloseReply:
        return await self._live.close(request)

    # --- whole sequences ---

    async def _run(self, request: pb.RunRequest, ends_seconds: float | None) -> pb.RunReply:
        check = partial(self._check, request, ends_seconds)
        return await self._door.run(request.model, request.version, check, _reply)

    def _check(
        self, request: pb.RunRequest, ends_seconds: float | None, version: LoadedVersion, signature: Signature
    ) -> CheckedRequest:
        limits = self._door.limits_of(version.key.model)
        rows = ragged.rows(signature, _batch(request, signature), limits)
        wanted = WantedOutputs.of(signature, (), request.return_state)
        outputs.require_reply_fits(signature, wanted, rows, limits)
        implementation = choose(request.implementation, request.precision, version)
        return CheckedRequest(rows, RunOptions(implementation, wanted.want_state, ends_seconds, request.priority), wanted)


def _batch(request: pb.RunRequest, signature: Signature) -> RaggedBatch:
    if not request.HasField("inputs"):
        raise InvalidInput("the request has no inputs", field="inputs")
    inputs, fields = messages.inputs(request.inputs, request.more_inputs, signature)
    mask = messages.array(request.mask, "mask", ("BOOL",), "mask") if request.HasField("mask") else None
    more_lengths = [each.steps for each in request.more_lengths]
    return RaggedBatch(request.lengths, inputs, fields, mask, messages.states(request.state, signature), more_lengths)


def _reply(version: LoadedVersion, signature: Signature, checked: CheckedRequest, done: list[Delivery]) -> pb.RunReply:
    return messages.run_reply(version, signature, checked, done)
