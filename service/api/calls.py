"""One call at the door: its id, and what is learnt about it on the way for logs and metrics.

Each rpc runs in a task of its own, so a context variable hands the call to whoever works for it. Knows no messages.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from cellserve.service import logs
from cellserve.service.api.facts import RequestFact
from cellserve.service.api.trace import Ended, Trace
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.engine.facts import VersionKey


@dataclass(slots=True)
class Call:
    """All but the first four as in RequestFact, filled in on the way. asker: asked only where it matters who asks.

    proxied_id: what a proxy that is believed calls the request, whichever attempt at it this is; None: there is none.
    owner: whose token it carries, as Access says. sequence: the id of the live one that it feeds. subject: what it administers.
    trace: of a request that is traced. begin_trace: may begin one of a request on this stream; None: nothing is traced here.
    """

    request_id: str
    asker: Callable[[], Asker] = lambda: ANYBODY
    proxied_id: Callable[[], str | None] = lambda: None
    owner: Callable[[], str | None] = lambda: None
    version: VersionKey | None = None
    implementation: str = ""
    queue_seconds: float | None = None
    compute_seconds: float | None = None
    input_seconds: float = 0.0
    output_seconds: float = 0.0
    sequence: str = ""
    subject: str = ""
    trace: Trace | None = None
    begin_trace: Callable[[], Trace | None] | None = None

    def about(self) -> dict[str, object]:
        """For lines of the log: what is known by now."""
        known: dict[str, object] = {"implementation": self.implementation, "sequence": self.sequence}
        if self.trace is not None:
            known["trace_id"] = self.trace.ids.trace_id
        return known if self.version is None else {"model": self.version.model, "version": self.version.version, **known}

    def fact(self, code: str, reason: str | None, seconds: float, cause: str | None = None) -> RequestFact:
        """How the call ended: a gRPC status name, an error's token, the time since it began, and why it was overload.

        Made once: a trace ends with it.
        """
        fact = RequestFact(
            self.version,
            self.implementation,
            code,
            reason,
            seconds,
            self.queue_seconds,
            self.compute_seconds,
            self.input_seconds,
            self.output_seconds,
            time.time(),
            cause,
            None if reason is None else self.owner(),
        )
        if self.trace is None:
            return fact
        self.trace.end(Ended(fact, self.request_id, self.sequence))
        return fact._replace(trace=self.trace.ids)


CURRENT: ContextVar[Call] = ContextVar("cellserve_call")


def enter(call: Call) -> None:
    """From here to the end of this task, `call` is the current one, and log lines tell of it."""
    CURRENT.set(call)
    logs.request_id.set(call.request_id)
    logs.about.set(call.about)


def administers(subject: str) -> None:
    """What the current call, if there is one, is about: for the audit log."""
    call = CURRENT.get(None)
    if call is not None:
        call.subject = subject


class RequestIds:
    """Ids that no two requests of this or another server process share, cheap to make."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}-{next(self._numbers):06x}"
