"""What is kept until it is booked: the observers' facts, and as facts the calls of observers that have none of their own."""

from __future__ import annotations

from typing import NamedTuple

from cellserve.service.api.facts import ConnectionFact, RequestFact, RpcMethod, TurnedAway
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
    | SessionChange
    | SessionStep
)
