"""The spans of one traced request, made once it has ended: door, queue, each iteration's share, reply. Knows no exporter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from cellserve.service.api.facts import RpcMethod
from cellserve.service.api.trace import Ended, Trace
from cellserve.service.engine.facts import Share

_SERVERS_FAULT: Final = frozenset(  # as OpenTelemetry counts gRPC's codes of a server
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
_NANOSECONDS: Final = 1e9

Attributes = Mapping[str, str | int | float]


class RequestSpans:
    """span: the request's own, begun. context: in which the others are its children. offset_nanoseconds: of 1970 on our clock."""

    def __init__(self, tracer: Tracer, span: Span, context: Context, offset_nanoseconds: int) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        self._offset_nanoseconds = offset_nanoseconds

    def end(self, method: RpcMethod, trace: Trace, ended: Ended, ended_seconds: float) -> None:
        self._door(trace, ended_seconds)
        if trace.submitted_seconds is not None:
            self._engine(trace, trace.submitted_seconds, ended_seconds)
        if trace.answered_seconds is not None:
            self._add("reply", trace.answered_seconds, ended_seconds, {})
        fact = ended.fact
        for name, value in _request(method, ended).items():
            self._span.set_attribute(name, value)
        if trace.iterations.left_out:
            self._span.set_attribute("cellserve.iterations_left_out", trace.iterations.left_out)
        if fact.code in _SERVERS_FAULT:
            self._span.set_status(Status(StatusCode.ERROR, fact.reason or fact.code))
        self._span.end(self._unix(ended_seconds))

    def _door(self, trace: Trace, ended_seconds: float) -> None:
        submitted = trace.submitted_seconds
        self._add("door", trace.began_seconds, ended_seconds if submitted is None else submitted, {})

    def _engine(self, trace: Trace, submitted_seconds: float, ended_seconds: float) -> None:
        """The wait for the first iteration, and each iteration; what was computed at once is one."""
        shares = trace.iterations.shares or _at_once(trace, submitted_seconds)
        first = min((share.began_seconds for share in shares), default=ended_seconds)
        self._add("queue", submitted_seconds, max(first, submitted_seconds), {})
        for share in shares:
            self._add("iteration", share.began_seconds, share.began_seconds + share.seconds, _iteration(share))

    def _add(self, name: str, began_seconds: float, ended_seconds: float, attributes: Attributes) -> None:
        span = self._tracer.start_span(name, self._context, attributes=attributes, start_time=self._unix(began_seconds))
        span.end(self._unix(ended_seconds))

    def _unix(self, seconds: float) -> int:
        return round(seconds * _NANOSECONDS) + self._offset_nanoseconds


def _at_once(trace: Trace, submitted_seconds: float) -> list[Share]:
    """What no worker has told of: one call for all rows, after the wait that the deliveries tell."""
    if trace.answered_seconds is None or not trace.answered:
        return []
    deliveries = trace.answered
    began = min(trace.answered_seconds, submitted_seconds + max(delivery.queue_seconds for delivery in deliveries))
    own_steps, longest = sum(delivery.steps for delivery in deliveries), max(delivery.steps for delivery in deliveries)
    rows, implementation = len(deliveries), deliveries[0].implementation
    return [Share(began, trace.answered_seconds - began, implementation, rows, own_steps, rows, longest)]


def _iteration(share: Share) -> Attributes:
    return {
        "cellserve.implementation": share.implementation,
        "cellserve.own_rows": share.own_rows,
        "cellserve.own_steps": share.own_steps,
        "cellserve.rows": share.rows,
        "cellserve.steps": share.steps,
    }


def _request(method: RpcMethod, ended: Ended) -> Attributes:
    fact = ended.fact
    known: dict[str, str | int | float] = {
        "rpc.system": "grpc",
        "rpc.service": method.service,
        "rpc.method": method.method,
        "rpc.grpc.status_code": grpc.StatusCode[fact.code].value[0],
        "cellserve.request_id": ended.request_id,
    }
    if fact.version is not None:
        known |= {"cellserve.model": fact.version.model, "cellserve.version": fact.version.version}
    words = {
        "cellserve.implementation": fact.implementation,
        "cellserve.sequence": ended.sequence,
        "error.type": fact.reason or "",
    }
    return known | {name: word for name, word in words.items() if word}
