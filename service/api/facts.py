"""What the door tells an observer, as plain facts. Knows no metrics library: service/metrics turns facts into series."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol, get_args

from cellserve.service.engine.facts import VersionKey

RpcType = Literal["unary", "client_stream", "server_stream", "bidi_stream"]


class RpcMethod(NamedTuple):
    """One method of one gRPC service: "inference.GRPCInferenceService", "ModelInfer"."""

    type: RpcType
    service: str
    method: str


class TraceIds(NamedTuple):
    """Of a traced request, as W3C writes them."""

    trace_id: str
    span_id: str


class RequestFact(NamedTuple):
    """One inference request ended, well or not.

    version: None where the request named no version that exists (labels made of what users send would never end).
    implementation: what ran; empty where nothing did. code: the gRPC status name, such as OK.
    reason: the error's token (docs/errors.md), None for an answer.
    seconds: from the door to the reply. queue_seconds, compute_seconds: None unless answered.
    input_seconds: checking and decoding. output_seconds: making the reply. ended_unix_seconds: since 1970.
    cause: of an overload, what was short (docs/overload.md). token: of a request that was not answered, whose it was; empty:
    nobody's that is known, None: there are no tokens. trace: None where it is not traced.
    """

    version: VersionKey | None
    implementation: str
    code: str
    reason: str | None
    seconds: float
    queue_seconds: float | None = None
    compute_seconds: float | None = None
    input_seconds: float = 0.0
    output_seconds: float = 0.0
    ended_unix_seconds: float = 0.0
    cause: str | None = None
    token: str | None = None
    trace: TraceIds | None = None

    @property
    def answered(self) -> bool:
        return self.queue_seconds is not None and self.compute_seconds is not None


class TurnedAway(NamedTuple):
    """So many inference calls of a method were answered from their headers alone, each within `seconds` on average.

    code, reason, cause: as in RequestFact.
    """

    method: RpcMethod
    code: str
    reason: str
    cause: str | None
    seconds: float
    number: int


ShadowResult = Literal["compared", "failed", "dropped", "not_ready", "unlike"]


class ShadowFact(NamedTuple):
    """A request that `version` had answered was to run on `shadow` besides.

    result: dropped, for there was no time that nobody else wanted; unlike: they take other inputs or answer in other shapes.
    difference: the largest of any number; None unless compared. seconds: of computing.
    """

    version: VersionKey
    shadow: VersionKey
    result: ShadowResult
    difference: float | None = None
    seconds: float | None = None


ConnectionEnd = Literal["client", "server", "flood", "pings", "protocol", "not_http2", "silent", "memory", "handshake"]
CONNECTION_ENDS: Final[tuple[ConnectionEnd, ...]] = get_args(ConnectionEnd)


class ConnectionFact(NamedTuple):
    """A connection was opened, or ended. Told by the front on frames; gRPC's own server tells of none.

    open_connections: now. end: who or what ended it, None for one that was opened: client, it has left; server, told to go
    elsewhere; the others: docs/security.md.
    """

    open_connections: int
    end: ConnectionEnd | None


class DoorObserver(Protocol):
    """Called on the event loop; must not block."""

    def on_connection(self, fact: ConnectionFact) -> None: ...

    def on_rpc_started(self, method: RpcMethod) -> None: ...

    def on_rpc_handled(self, method: RpcMethod, code: str, seconds: float) -> None: ...

    def on_request(self, fact: RequestFact) -> None: ...

    def on_turned_away(self, fact: TurnedAway) -> None: ...

    def on_loop(self, lag_seconds: float) -> None: ...
