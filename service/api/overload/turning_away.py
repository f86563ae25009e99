"""Calls that are answered from their headers alone, a few microseconds for each: nothing of them is kept but a count.

Knows no transport and no messages: the gate decides, the engine says when to come again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from cellserve.service.api.call_context import Caller, Ending
from cellserve.service.api.calls import RequestIds
from cellserve.service.api.facts import DoorObserver, RpcMethod, TurnedAway
from cellserve.service.api.overload.askers import asker_of
from cellserve.service.api.overload.gate import Gate
from cellserve.service.api.overload.refusal_log import RefusalLog
from cellserve.service.api.status import ending_of
from cellserve.service.errors import CAUSE, ServiceError


class TurningAway:
    """On the event loop. expects: whether a ticket was given for this time. error: what one is told that is not read."""

    def __init__(
        self,
        gate: Gate,
        expects: Callable[[str], bool],
        error: Callable[[], ServiceError],
        refusal_log: RefusalLog,
        observer: DoorObserver,
    ) -> None:
        self._gate = gate
        self._expects = expects
        self._error = error
        self._log = refusal_log
        self._observer = observer
        self._ids = RequestIds()
        self._counts: dict[tuple[RpcMethod, str, str], int] = {}
        self._seconds = 0.0

    def ending(self, method: RpcMethod, caller: Caller) -> Ending | None:
        """How a call that has come ends at once; None: it is read."""
        began_seconds = time.perf_counter()
        asker = asker_of(caller)
        if self._gate.passes(asker.client, random.random()) or (asker.ticket and self._expects(asker.ticket)):
            return None
        error = self._error()
        ending = ending_of(error, self._ids.next())
        kind = (method, ending.code.name, error.metadata.get(CAUSE, ""))
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._seconds += time.perf_counter() - began_seconds
        return ending

    def settle(self) -> None:
        """Tells log and observer of all that were turned away since the last time."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        seconds, self._seconds = self._seconds / sum(counts.values()), 0.0
        for (method, code, cause), number in counts.items():
            self._log.refused(cause, number)
            self._observer.on_turned_away(TurnedAway(method, code, cause, seconds, number))
