"""One live sequence as its client knows it: how far it is, what is unanswered, what to send again. Pure; knows no channel.

Its methods are conversations: generators that yield what to ask, are sent the reply or thrown the ServiceError, and return the
result. Both clients hold them, each in its own way, and send again what a retry may help; since every feed carries its position,
the server applies it once however often it comes.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from cellserve.service.client_errors import BadReply, FeedUnsettled
from cellserve.service.client_prediction import Prediction, prediction
from cellserve.service.client_replay import Fed, Replay, ReplayLimits
from cellserve.service.client_requests import Question, Reference
from cellserve.service.client_tensors import Array, to_wire
from cellserve.service.errors import (
    InvalidInput,
    NotOffered,
    Overloaded,
    SequenceEvicted,
    SequenceExists,
    SequenceExpired,
    SequenceLost,
    SequencePosition,
    SequenceUnknown,
    UnknownImplementation,
    UnsupportedImplementation,
)
from cellserve.service.pb import cellserve_pb2 as pb

GONE: Final = (SequenceUnknown, SequenceExpired, SequenceEvicted, SequenceLost)
_REFUSED: Final = (InvalidInput, NotOffered, Overloaded, UnknownImplementation, UnsupportedImplementation)
_MOST_FALLS: Final = 3  # how often a server may lose steps again while one feed is delivered

Result = TypeVar("Result")


class Ask:
    """One request. resent: set by the client when it sends it again, so that an earlier copy may have been applied."""

    __slots__ = ("request", "resent")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.resent = False


Talk = Generator[Ask, Any, Result]


class Course:
    """What one client knows of one live sequence. position: time steps that the server is known to have consumed."""

    def __init__(self, model: str, sequence_id: str, limits: ReplayLimits) -> None:
        self.model = model
        self.sequence_id = sequence_id
        self.version = 0
        self.position = 0
        self.epoch = ""
        self.closed = False
        self._opening: pb.OpenRequest | None = None
        self._replay = Replay(limits)
        self._unsettled: Fed | None = None

    def opening(self, reference: Reference, restart: bool, state: Mapping[str, Array]) -> Talk[None]:
        """Without an id the client makes one: since nobody else has it, the request may be sent twice."""
        request = pb.OpenRequest(
            model=reference.model,
            version=reference.version,
            sequence_id=self.sequence_id,
            restart=restart,
            state={name: to_wire(np.asarray(array, np.float32)) for name, array in state.items()},
        )
        if not self.sequence_id:
            self.sequence_id = request.sequence_id = new_id()
            request.restart = True
        yield from self._opened(request)
        request.version = str(self.version)
        self._opening = request

    def attaching(self) -> Talk[None]:
        """To a sequence that is live."""
        self.adopt((yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))))

    def feeding(self, question: Question) -> Talk[Prediction]:
        """The answer to one row. Raises FeedUnsettled: another feed is undecided."""
        fed = self._fed(question)
        earlier, self._unsettled = self._unsettled, fed
        if earlier is not None and not _same(earlier.message, fed.message):
            self._unsettled = earlier
            raise FeedUnsettled(
                "it is not known whether the steps of the last feed, which failed, were consumed; before others feed the same "
                "steps again, or call settle() to learn it"
            )
        reply = yield from self._delivered(fed, maybe_applied=earlier is not None)
        if reply.position != fed.end:
            raise BadReply(f"the server says that it stands at step {reply.position}; {fed.end} was expected")
        self._consumed(fed, reply.epoch)
        return prediction(question, [reply.answer])

    def settling(self) -> Talk[bool]:
        """Whether the steps of a feed that failed were consumed all the same. False as well where no feed is undecided."""
        fed = self._unsettled
        if fed is None:
            return False
        reply = yield Ask(pb.FeedRequest(model=self.model, sequence_id=self.sequence_id, epoch=self.epoch))
        self.epoch = reply.epoch
        if reply.position == fed.end:
            self._consumed(fed, reply.epoch)
            return True
        self._unsettled = None
        if reply.position == fed.position:
            return False
        raise SequencePosition(
            f"the server stands at step {reply.position}, this client at {fed.position}",
            metadata={"position": str(reply.position), "epoch": reply.epoch},
        )

    def snapshotting(self) -> Talk[bytes]:
        reply = yield Ask(pb.SnapshotRequest(model=self.model, sequence_id=self.sequence_id))
        return bytes(reply.snapshot)

    def closing(self) -> Talk[None]:
        """One that is gone already is closed too."""
        self.closed = True
        try:
            yield Ask(pb.CloseRequest(model=self.model, sequence_id=self.sequence_id))
        except GONE:
            return

    def restoring(self, snapshot: bytes, restart: bool) -> Talk[None]:
        request = pb.RestoreRequest(model=self.model, snapshot=snapshot, sequence_id=self.sequence_id, restart=restart)
        if not self.sequence_id:
            self.sequence_id = request.sequence_id = new_id()
            request.restart = True
        self.adopt((yield Ask(request)))

    def forking(self, source_id: str) -> Talk[None]:
        """Begins this sequence where `source_id` stands."""
        ours = not self.sequence_id
        self.sequence_id = self.sequence_id or new_id()
        ask = Ask(pb.ForkRequest(model=self.model, sequence_id=source_id, new_sequence_id=self.sequence_id))
        try:
            info = yield ask
        except SequenceExists:
            if not (ours and ask.resent):
                raise
            info = yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))
        self.adopt(info)

    def adopt(self, info: pb.SequenceInfo) -> None:
        self.sequence_id, self.version = info.sequence_id, info.version
        self.position, self.epoch = info.position, info.epoch

    def _opened(self, request: pb.OpenRequest) -> Talk[None]:
        ask = Ask(request)
        try:
            reply = yield ask
        except SequenceExists:
            if not ask.resent:
                raise
            info = yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))
            if info.position:
                raise
            self.adopt(info)  # our own: the reply to an earlier copy of the request was lost
        else:
            self.version, self.position, self.epoch = int(reply.version), reply.position, reply.epoch

    def _fed(self, question: Question) -> Fed:
        row = question.request(range(1))
        message = pb.FeedRequest(
            model=self.model,
            sequence_id=self.sequence_id,
            position=self.position,
            inputs=row.inputs,
            more_inputs=row.more_inputs,
            mask=row.mask if row.HasField("mask") else None,
            implementation=row.implementation,
            return_state=row.return_state,
            priority=row.priority,
            epoch=self.epoch,
        )
        return Fed(self.position, row.lengths[0], message)

    def _delivered(self, fed: Fed, maybe_applied: bool) -> Talk[pb.FeedReply]:
        """The reply to `fed`, after whatever the server has lost was fed again."""
        behind: list[Fed] = []
        for falls_left in reversed(range(_MOST_FALLS)):
            ask = Ask(fed.message)
            try:
                for each in behind:
                    self.epoch = (yield Ask(self._addressed(each))).epoch
                self._addressed(fed)
                reply = yield ask
                break
            except (SequencePosition, SequenceLost) as error:
                maybe_applied = maybe_applied or ask.resent
                if not falls_left:
                    raise
                fallen = error
            except _REFUSED:
                if not (maybe_applied or ask.resent):
                    self._unsettled = None
                raise
            if isinstance(fallen, SequencePosition):
                behind = self._behind(fed, fallen, maybe_applied)
            else:
                behind = yield from self._reopened(fed, fallen)
        return reply

    def _addressed(self, fed: Fed) -> pb.FeedRequest:
        fed.message.epoch = self.epoch
        return fed.message

    def _behind(self, fed: Fed, error: SequencePosition, maybe_applied: bool) -> list[Fed]:
        """What must be fed before `fed`. Raises `error` where it is not kept, or is not what is missing."""
        stands = error.position
        if stands is None:
            raise error
        if stands == fed.end and maybe_applied:
            self._consumed(fed, error.metadata.get("epoch", self.epoch))
            raise error  # the steps are consumed; only the answer is no longer remembered
        kept = self._replay.since(stands, fed.position) if stands < fed.position else None
        if kept is None:
            self._unsettled = None
            raise error
        return kept

    def _reopened(self, fed: Fed, error: SequenceLost) -> Talk[list[Fed]]:
        """Begins anew what the server has lost. Raises `error` where not everything fed so far is kept."""
        everything = self._replay.since(0, fed.position)
        if self._opening is None or everything is None:
            raise error
        yield from self._opened(self._opening)
        return everything

    def _consumed(self, fed: Fed, epoch: str) -> None:
        self._replay.keep(fed)
        self._unsettled = None
        self.position, self.epoch = fed.end, epoch


def new_id() -> str:
    return uuid.uuid4().hex


def _same(one: pb.FeedRequest, other: pb.FeedRequest) -> bool:
    return (one.inputs, one.mask, list(one.more_inputs)) == (other.inputs, other.mask, list(other.more_inputs))
