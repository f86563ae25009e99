"""Calls that are answered from their headers alone, a few microseconds for each: nothing of them is kept but a count.

Knows no transport and no messages: a guard and the gate decide, the engine says when to come again.
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
from cellserve.service.api.status import CODES, ending_of
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import CAUSE, ServiceError


class TurningAway:
    """On the event loop. expects: whether a ticket was given for this time. error: what one is told that is not read."""

    def __init__(
        self,
        gate: Gate,
        expects: Callable[[str], bool],
        error: Callable[[], ServiceError],
        refusal_log: CountedLog,
        observer: DoorObserver,
    ) -> None:
        self._gate = gate
        self._expects = expects
        self._error = error
        self._log = refusal_log
        self._observer = observer
        self._ids = RequestIds()
        self._counts: dict[tuple[RpcMethod, str, str | None], int] = {}  # by method, reason and cause, as in TurnedAway
        self._seconds = 0.0

    def ending(
        self,
        method: RpcMethod,
        caller: Caller,
        guard: Callable[[Caller], None] | None = None,
        waited_seconds: float = 0.0,
    ) -> Ending | None:
        """How a call that has come ends at once; None: it is read.

        guard: raises for who has no right to it. waited_seconds: as in Gate.passes.
        """
        began_seconds = time.perf_counter()
        try:
            if guard is not None:
                guard(caller)
        except ServiceError as denied:
            return self._counted(method, denied, began_seconds)
        asker = asker_of(caller)
        if self._gate.passes(asker.client, random.random(), waited_seconds) or (asker.ticket and self._expects(asker.ticket)):
            return None
        return self._counted(method, self._error(), began_seconds)

    def given_up(self, method: RpcMethod) -> Ending:
        """How a call ends that was to be read, and whose message does not come in time."""
        return self._counted(method, self._error(), time.perf_counter())

    def _counted(self, method: RpcMethod, error: ServiceError, began_seconds: float) -> Ending:
        ending = ending_of(error, self._ids.next())
        kind = (method, error.reason, error.metadata.get(CAUSE))
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._seconds += time.perf_counter() - began_seconds
        return ending

    def settle(self) -> None:
        """Tells log and observer of all that were turned away since the last time."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        seconds, self._seconds = self._seconds / sum(counts.values()), 0.0
        for (method, reason, cause), number in counts.items():
            if cause is not None:
                self._log.count(cause, number)
            self._observer.on_turned_away(TurnedAway(method, CODES[reason].name, reason, cause, seconds, number))
