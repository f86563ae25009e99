"""What is kept until it is booked: the observers' facts, and as facts the calls of observers that have none of their own."""

from __future__ import annotations

from typing import NamedTuple

from cellserve.service.api.facts import ConnectionFact, RequestFact, RpcMethod, ShadowFact, TurnedAway
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.sessions.observer import SessionEvent


class RpcEnd(NamedTuple):
    """One rpc was handled. code: the gRPC status name, such as OK."""

    method: RpcMethod
    code: str
    seconds: float


class SessionChange(NamedTuple):
    """Something became of a live sequence. version: None where that is not known."""

    version: VersionKey | None
    event: SessionEvent


class SessionStep(NamedTuple):
    """A feed of a live sequence was applied."""

    version: VersionKey
    seconds: float


class LoopFact(NamedTuple):
    """How late the event loop came to what was due."""

    lag_seconds: float


class StoreCall(NamedTuple):
    """The session store has answered. records: that it was about."""

    operation: str
    records: int
    seconds: float


class StoreState(NamedTuple):
    """Whether the session store can be reached. seconds: that it has been away since this was told last."""

    away: bool
    seconds: float


class StoreRecords(NamedTuple):
    """Live sequences in the session store."""

    live: int


# A method stands for one rpc of it that has started.
Fact = (
    IterationFact
    | SequenceFact
    | RequestFact
    | RpcMethod
    | RpcEnd
    | ConnectionFact
    | LoopFact
    | TurnedAway
    | ShadowFact
    | SessionChange
    | SessionStep
    | StoreCall
    | StoreState
    | StoreRecords
)
