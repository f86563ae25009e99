"""One rpc, from the door to the reply: told once how it ended, to its client, the observer, the gate and the log.

Knows no messages' meaning and no metrics library.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import grpc

from cellserve.service.api.access.audit import audit
from cellserve.service.api.call_context import Caller, Ending
from cellserve.service.api.calls import Call, enter
from cellserve.service.api.facts import DoorObserver, RpcMethod
from cellserve.service.api.failures import told
from cellserve.service.api.overload.askers import asker_of
from cellserve.service.api.overload.gate import Gate, Outcome
from cellserve.service.api.overload.turning_away import TurningAway
from cellserve.service.api.status import REQUEST_ID_KEY, ending_of
from cellserve.service.api.trace import Tracer
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import CAUSE, Cancelled, DeadlineExpired, Overloaded

_log = logging.getLogger(__name__)

_OUTCOMES: Final[Mapping[str | None, Outcome]] = {
    Overloaded.reason: "refused",
    DeadlineExpired.reason: "gone",
    Cancelled.reason: "gone",
}


class RpcKind(NamedTuple):
    """inference: each call is one inference request. administration: each is told in the audit log."""

    method: RpcMethod
    inference: bool
    administration: bool = False


class Refusals(NamedTuple):
    """gate: says which calls are read. turning_away: answers the others. refusal_log: told of each refusal."""

    gate: Gate
    turning_away: TurningAway
    refusal_log: CountedLog


class Rpc:
    """Made when it begins. proxied_id, owner: as Call has them, of whoever calls. tracer None: nothing is traced."""

    __slots__ = ("_call", "_context", "_kind", "_observer", "_refusals", "_started_seconds")

    def __init__(
        self,
        context: Any,
        kind: RpcKind,
        request_id: str,
        observer: DoorObserver,
        refusals: Refusals,
        proxied_id: Callable[[Caller], str | None],
        owner: Callable[[Caller], str | None],
        tracer: Tracer | None,
    ) -> None:
        self._started_seconds = time.perf_counter()
        self._call = Call(request_id, partial(asker_of, context), partial(proxied_id, context), partial(owner, context))
        self._refusals = refusals
        self._context = context
        self._kind = kind
        self._observer = observer
        if tracer is not None:
            self._call.begin_trace = partial(tracer, kind.method, context.invocation_metadata() or ())
            if kind.inference:
                self._call.trace = self._call.begin_trace()
        observer.on_rpc_started(kind.method)
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))

    def enter(self) -> None:
        """The task that runs belongs to this rpc."""
        enter(self._call)

    def answered(self) -> None:
        self._tell("OK", None)

    def refused(self, error: Exception) -> None:
        """Lets a unary call end with a status once its handler has returned: cheaper than an abort, which raises through gRPC."""
        code, message, trailers = self._ending(error)
        self._context.set_code(code)
        self._context.set_details(message)
        self._context.set_trailing_metadata(trailers)

    async def failed(self, error: BaseException) -> None:
        """Aborts the call, which raises, unless it has ended already: cancelled, or aborted by the behaviour itself."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):  # the latter: while a reply was on its way
            late = self._context.time_remaining() == 0.0
            self._tell(*(("DEADLINE_EXCEEDED", DeadlineExpired.reason) if late else ("CANCELLED", Cancelled.reason)))
        elif isinstance(error, grpc.aio.AbortError):
            self._tell(_name(self._context.code()), None)
        else:
            await self._context.abort(*self._ending(error))

    def _ending(self, error: BaseException) -> Ending:
        """What the client is told of it; the observer, the gate and the log are told too."""
        request_id = self._call.request_id
        known = told(error, request_id)
        ending = ending_of(known, request_id)
        cause = known.metadata.get(CAUSE)
        if cause is not None:
            self._refusals.refusal_log.count(cause)
        self._tell(ending.code.name, known.reason, cause)
        _log.debug("%s: %s", self._kind.method.method, ending.details)
        return ending

    def _tell(self, code: str, reason: str | None, cause: str | None = None) -> None:
        seconds = time.perf_counter() - self._started_seconds
        self._observer.on_rpc_handled(self._kind.method, code, seconds)
        if self._kind.administration:
            call = self._call
            audit(self._kind.method.method, unquote(self._context.peer()), call.owner(), call.subject, code)
        if not self._kind.inference:
            return
        gate, outcome = self._refusals.gate, _OUTCOMES.get(reason, "answered")
        if outcome == "refused" or gate.watching:
            gate.read(self._call.asker().client, outcome)
        self._observer.on_request(self._call.fact(code, reason, seconds, cause))


def _name(code: Any) -> str:
    """A status code as gRPC keeps it in a context: an enum member, or its number."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((member.name for member in grpc.StatusCode if member.value[0] == code), "UNKNOWN")
