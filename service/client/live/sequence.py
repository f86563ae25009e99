"""One live sequence as its client knows it: how far it is, what is unanswered, what to send again. Pure; knows no channel.

Its methods are conversations: generators that yield what to ask, are sent the reply or thrown the ServiceError, and return the
result. Both clients hold them, each in its own way, and send again what a retry may help; since every feed carries its position,
the server applies it once however often it comes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

import numpy as np

from cellserve.service.client.errors import BadReply, FeedUnsettled
from cellserve.service.client.live.conversation import REFUSED, Ask, Talk
from cellserve.service.client.live.replay import Fed, Replay, ReplayLimits
from cellserve.service.client.prediction import Prediction, prediction
from cellserve.service.client.requests import Question, Reference
from cellserve.service.client.tensors import Array, to_wire
from cellserve.service.errors import (
    SequenceEvicted,
    SequenceExists,
    SequenceExpired,
    SequenceLost,
    SequencePosition,
    SequenceUnknown,
    ServiceError,
)
from cellserve.service.pb import cellserve_pb2 as pb

GONE: Final = (SequenceUnknown, SequenceExpired, SequenceEvicted, SequenceLost)
_MOST_FALLS: Final = 3  # how often a server may lose steps again while one feed is delivered


class Course:
    """What one client knows of one live sequence. position: time steps that the server is known to have consumed."""

    def __init__(self, model: str, sequence_id: str, limits: ReplayLimits) -> None:
        """sequence_id: empty for one that nobody else has, so that what begins the sequence may be sent twice."""
        self.model = model
        self.sequence_id = sequence_id or uuid.uuid4().hex
        self._ours = not sequence_id
        self.version = 0
        self.position = 0
        self.epoch = ""
        self.closed = False
        self._opening: pb.OpenRequest | None = None
        self._replay = Replay(limits)
        self._unsettled: Fed | None = None

    def opening(self, reference: Reference, restart: bool, state: Mapping[str, Array]) -> Talk[None]:
        request = pb.OpenRequest(
            model=reference.model,
            version=reference.version,
            sequence_id=self.sequence_id,
            restart=restart or self._ours,
            state={name: to_wire(np.asarray(array, np.float32)) for name, array in state.items()},
        )
        yield from self._opened(request)
        request.version, request.restart = str(self.version), self._ours
        self._opening = request

    def attaching(self) -> Talk[None]:
        """To a sequence that is live."""
        self.adopt((yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))))

    def feeding(self, question: Question, one_step: bool) -> Talk[Prediction]:
        """The answer to one row; to one_step without the axis of time. Raises FeedUnsettled: another feed is undecided."""
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
        answer = prediction(question, [reply.answer])
        if one_step and reply.answer.outputs[0].per_step:
            return replace(answer, answer=answer.answer[0])
        return answer

    def settling(self) -> Talk[bool]:
        """Whether the steps of a feed that failed were consumed all the same. False as well where no feed is undecided."""
        fed = self._unsettled
        if fed is None:
            return False
        stands = yield from self._asked_where_it_stands()
        if stands == fed.end:
            self._consumed(fed, self.epoch)
            return True
        self._unsettled = None
        for each in self._kept(stands, fed.position):
            self.epoch = (yield Ask(self._addressed(each))).epoch
        return False

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
        request = pb.RestoreRequest(
            model=self.model, snapshot=snapshot, sequence_id=self.sequence_id, restart=restart or self._ours
        )
        self.adopt((yield Ask(request)))

    def forking(self, source_id: str) -> Talk[None]:
        """Begins this sequence where `source_id` stands."""
        ask = Ask(pb.ForkRequest(model=self.model, sequence_id=source_id, new_sequence_id=self.sequence_id))
        try:
            info = yield ask
        except SequenceExists:
            if not (self._ours and ask.maybe_applied):
                raise
            info = yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))
        self.adopt(info)

    def adopt(self, info: pb.SequenceInfo) -> None:
        self.version, self.position, self.epoch = info.version, info.position, info.epoch
        self._unsettled = None

    def _opened(self, request: pb.OpenRequest) -> Talk[None]:
        ask = Ask(request)
        try:
            reply = yield ask
        except SequenceExists:
            if not ask.maybe_applied:
                raise
            info = yield Ask(pb.GetRequest(model=self.model, sequence_id=self.sequence_id))
            if info.position:
                raise
            self.version, self.epoch = info.version, info.epoch  # our own: the reply to an earlier copy was lost
        else:
            self.version, self.epoch = int(reply.version), reply.epoch

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
            precision=row.precision,
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
                return cast(pb.FeedReply, (yield ask))
            except (SequencePosition, SequenceLost) as error:
                fallen = error
            except REFUSED:
                if not (maybe_applied or ask.maybe_applied):
                    self._unsettled = None
                raise
            maybe_applied = maybe_applied or ask.maybe_applied
            forgotten = maybe_applied and isinstance(fallen, SequencePosition) and fallen.position == fed.end
            if isinstance(fallen, SequencePosition) and not forgotten:
                behind = self._behind(fed, fallen)
            if forgotten:
                return (yield from self._computed_anew(fed, fallen))
            if not falls_left:
                self._unsettled = None
                raise fallen
            if isinstance(fallen, SequenceLost):
                behind = yield from self._reopened(fed, fallen)
        raise RuntimeError("a feed was given up without saying why")

    def _asked_where_it_stands(self) -> Talk[int]:
        """By a feed of no steps, which has its turn after those still on their way."""
        try:
            reply = yield Ask(pb.FeedRequest(model=self.model, sequence_id=self.sequence_id, epoch=self.epoch))
        except SequencePosition as error:
            if error.position is None:
                raise
            self.epoch = error.metadata.get("epoch", self.epoch)
            return error.position
        self.epoch = reply.epoch
        return int(reply.position)

    def _addressed(self, fed: Fed) -> pb.FeedRequest:
        fed.message.epoch = self.epoch
        return fed.message

    def _behind(self, fed: Fed, error: SequencePosition) -> list[Fed]:
        """What must be fed before `fed`. Raises `error` where it is not kept, or is not what is missing."""
        stands = error.position
        if stands is None:
            raise error
        kept = self._replay.since(stands, fed.position)
        if kept is None:
            self._unsettled = None
            raise error
        return kept

    def _kept(self, stands: int, position: int) -> list[Fed]:
        """What leads from where the server stands to where this client does. Raises SequencePosition: it is not kept."""
        kept = self._replay.since(stands, position)
        if kept is None:
            raise SequencePosition(
                f"the server stands at step {stands}, this client at {position}, and what is between them is not kept here",
                metadata={"position": str(stands), "epoch": self.epoch},
            )
        return kept

    def _computed_anew(self, fed: Fed, error: ServiceError) -> Talk[pb.FeedReply]:
        """The reply to `fed`, whose steps are consumed and whose answer the server, restarted, no longer has.

        A second sequence goes the whole way to it; this one is left where it stands. Raises `error` where the way is not kept.
        """
        epoch, everything = error.metadata.get("epoch", self.epoch), self._replay.since(0, fed.position)
        if self._opening is None or everything is None:
            self._consumed(fed, epoch)
            raise error
        begun = pb.OpenRequest()
        begun.CopyFrom(self._opening)
        begun.sequence_id, begun.restart = uuid.uuid4().hex, True
        try:
            at = (yield Ask(begun)).epoch
            for each in (*everything, fed):
                message = pb.FeedRequest()
                message.CopyFrom(each.message)
                message.sequence_id, message.epoch = begun.sequence_id, at
                reply = yield Ask(message)
                at = reply.epoch
            yield Ask(pb.CloseRequest(model=self.model, sequence_id=begun.sequence_id))
        except (SequencePosition, *GONE):
            self._consumed(fed, epoch)
            raise error from None
        reply.epoch = epoch
        return cast(pb.FeedReply, reply)

    def _reopened(self, fed: Fed, error: SequenceLost) -> Talk[list[Fed]]:
        """Begins anew what the server has lost. Raises `error` where not everything fed so far is kept, or others have the id."""
        everything = self._replay.since(0, fed.position)
        self._unsettled = None
        if self._opening is None or everything is None:
            raise error
        try:
            yield from self._opened(self._opening)
        except SequenceExists:
            raise error from None
        self._unsettled = fed
        return everything

    def _consumed(self, fed: Fed, epoch: str) -> None:
        self._replay.keep(fed)
        self._unsettled = None
        self.position, self.epoch = fed.end, epoch


def _same(one: pb.FeedRequest, other: pb.FeedRequest) -> bool:
    return (one.inputs, one.mask, list(one.more_inputs)) == (other.inputs, other.mask, list(other.more_inputs))
