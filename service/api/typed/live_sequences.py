"""The calls of cellserve.v1.Sequences that concern live sequences. Messages in, messages out; which of them may be made by whom
is decided here: whoever knows a sequence's id may use it, the list of all is administration.
"""

from __future__ import annotations

from typing import Final

from cellserve.service.api.door import CheckedRequest, Door
from cellserve.service.api.feeding import FeedAsk, FeedDone, FeedRequest, feed, require_position
from cellserve.service.api.requests import outputs
from cellserve.service.api.requests.implementations import choose
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import RunOptions
from cellserve.service.api.requests.signature import Signature
from cellserve.service.api.typed import messages, ragged
from cellserve.service.api.typed.ragged import RaggedBatch
from cellserve.service.errors import InvalidInput, UnknownModel
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.feed import CheckedFeed
from cellserve.service.sessions.ids import new_id
from cellserve.service.sessions.info import SessionInfo

_RESIDENCES: Final = {
    "active": pb.SequenceInfo.ACTIVE,
    "idle": pb.SequenceInfo.IDLE,
    "parked": pb.SequenceInfo.PARKED,
}


class LiveSequences:
    """Lives on the event loop. Every method raises what Sessions raises. ends_seconds: on time.monotonic's clock, or None."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def open(self, request: pb.OpenRequest, ends_seconds: float | None) -> pb.OpenReply:
        def check(version: LoadedVersion, signature: Signature) -> FeedRequest:
            return FeedRequest(CheckedFeed((), initial_state=messages.state_row(request.state, signature)))

        ask = FeedAsk(
            model=request.model,
            session_id=request.sequence_id or new_id(),
            start=True,
            restart=request.restart,
            version=request.version,
            deadline_seconds=ends_seconds,
        )
        return await feed(self._door, ask, check, _open_reply)

    async def feed(self, request: pb.FeedRequest, ends_seconds: float | None) -> pb.FeedReply:
        def check(version: LoadedVersion, signature: Signature) -> FeedRequest:
            return self._checked(request, ends_seconds, version, signature)

        ask = FeedAsk(
            model=request.model,
            session_id=request.sequence_id,
            end=request.end,
            position=require_position(request.position, "position") if request.HasField("position") else None,
            epoch=request.epoch or None,
            deadline_seconds=ends_seconds,
        )
        return await feed(self._door, ask, check, _feed_reply)

    async def snapshot(self, request: pb.SnapshotRequest, ends_seconds: float | None = None) -> pb.SnapshotReply:
        self._door.permit(request.model)
        snapshot = await self._door.sessions.snapshot(request.model, request.sequence_id)
        return pb.SnapshotReply(snapshot=snapshot)

    async def close(self, request: pb.CloseRequest, ends_seconds: float | None = None) -> pb.CloseReply:
        self._door.permit(request.model)
        await self._door.sessions.close(request.model, request.sequence_id)
        return pb.CloseReply()

    async def restore(self, request: pb.RestoreRequest) -> pb.SequenceInfo:
        self._door.execution.require_open()
        self._door.permit(request.model)
        given = request.sequence_id or new_id()
        return _info(await self._door.sessions.restore(request.model, request.snapshot, given, restart=request.restart))

    async def fork(self, request: pb.ForkRequest) -> pb.SequenceInfo:
        self._door.execution.require_open()
        self._door.permit(request.model)
        given = request.new_sequence_id or new_id()
        return _info(await self._door.sessions.fork(request.model, request.sequence_id, given))

    async def get(self, request: pb.GetRequest) -> pb.SequenceInfo:
        self._door.permit(request.model)
        return _info(await self._door.sessions.inspect(request.model, request.sequence_id))

    async def list(self, request: pb.ListSequencesRequest) -> pb.ListSequencesReply:
        """Raises UnknownModel."""
        listed = await self._door.sessions.inventory(request.model or None)
        if request.model and not listed and all(status.model != request.model for status in self._door.versions.index()):
            raise UnknownModel(f"there is no model {request.model[:128]!r}", field="model")
        return pb.ListSequencesReply(sequences=[_info(info) for info in listed])

    def _checked(
        self, request: pb.FeedRequest, ends_seconds: float | None, version: LoadedVersion, signature: Signature
    ) -> FeedRequest:
        implementation = choose(request.implementation, request.precision, version)
        if not request.HasField("inputs"):
            if request.more_inputs or request.HasField("mask"):
                raise InvalidInput("there are no inputs, but what belongs to them", field="inputs")
            return FeedRequest(CheckedFeed((), implementation=implementation))
        limits = self._door.limits_of(version.key.model)
        rows = ragged.rows(signature, _batch(request, signature), limits)
        wanted = WantedOutputs.of(signature, (), request.return_state)
        outputs.require_reply_fits(signature, wanted, rows, limits)
        options = RunOptions(implementation, wanted.want_state, ends_seconds, request.priority)
        return FeedRequest.of_one_row(CheckedRequest(rows, options, wanted), "inputs")


def _batch(request: pb.FeedRequest, signature: Signature) -> RaggedBatch:
    """Of one row, as long as its first sequence."""
    inputs, fields = messages.inputs(request.inputs, request.more_inputs, signature)
    columns = [
        array[None] if given.kind == "vector" and array.ndim == 1 else array for given, array in zip(signature.inputs, inputs)
    ]
    steps = next((len(array) for given, array in zip(signature.inputs, columns) if given.kind != "vector" and array.ndim), 1)
    mask = messages.array(request.mask, "mask", ("BOOL",), "mask") if request.HasField("mask") else None
    return RaggedBatch((steps,), columns, fields, mask, {})


def _open_reply(done: FeedDone) -> pb.OpenReply:
    fed = done.fed
    return pb.OpenReply(
        model=fed.version.key.model,
        version=str(fed.version.key.version),
        sequence_id=fed.session_id,
        position=fed.position,
        epoch=fed.epoch,
    )


def _feed_reply(done: FeedDone) -> pb.FeedReply:
    fed, checked = done.fed, done.checked
    answer = None
    if fed.delivery is not None and checked is not None:
        answer = messages.run_reply(fed.version, done.signature, checked, [fed.delivery])
    return pb.FeedReply(sequence_id=fed.session_id, position=fed.position, epoch=fed.epoch, repeated=fed.repeated, answer=answer)


def _info(info: SessionInfo) -> pb.SequenceInfo:
    return pb.SequenceInfo(
        model=info.model,
        sequence_id=info.session_id,
        version=info.version,
        position=info.position,
        epoch=info.epoch,
        age_seconds=info.age_seconds,
        idle_seconds=info.idle_seconds,
        bytes=info.bytes,
        state=_RESIDENCES[info.state],
        replica=info.replica,
    )
