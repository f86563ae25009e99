"""Live sequences that nobody works with, by model, longest idle first: states in memory, on disk, or on disk and looked at since.

Counts them on their versions' pins. Knows no clock, and not why a sequence ends.
"""

from __future__ import annotations

from collections import OrderedDict

from cellserve.service.sessions.session import Session

Queue = OrderedDict[Session, None]
"""Of one model, longest idle first. Never empty while it is kept."""


class IdleSessions:
    def __init__(self) -> None:
        self._in_memory: dict[str, Queue] = {}
        self._parked: dict[str, Queue] = {}  # as they were parked
        self._looked_at: dict[str, Queue] = {}  # parked, and worked with since without their states

    def queues(self) -> list[tuple[str, Queue]]:
        """By model, of each kind."""
        return [entry for kind in (self._in_memory, self._parked, self._looked_at) for entry in kind.items()]

    def add(self, session: Session) -> None:
        """After all others, none of which was used later."""
        self._add(session, self._in_memory if session.parked is None else self._looked_at)

    def add_parked(self, session: Session) -> None:
        """As `add`, one whose state has just gone to disk."""
        self._add(session, self._parked)

    def remove(self, session: Session) -> None:
        pin = session.pin
        if pin is None:
            return
        model = session.key.model
        kind = self._in_memory
        if session.parked is not None:
            kind = self._parked if session in self._parked.get(model, ()) else self._looked_at
        queue = kind[model]
        del queue[session]
        if not queue:
            del kind[model]
        if session.parked is None:
            pin.idle -= 1
        else:
            pin.parked -= 1

    def longest(self, *, in_memory: bool) -> Session | None:
        """in_memory: of those whose states are there. None if nobody is idle."""
        kinds = (self._in_memory,) if in_memory else (self._parked, self._looked_at, self._in_memory)
        heads = [next(iter(queue)) for kind in kinds for queue in kind.values()]
        return min(heads, key=lambda session: session.used_seconds, default=None)

    def coldest(self, rows: int) -> list[Session]:
        """Up to `rows` whose states are in memory, longest idle first (those of one model together)."""
        heads = [(next(iter(queue)).used_seconds, model) for model, queue in self._in_memory.items()]
        if not heads:
            return []
        return [session for session, _ in zip(self._in_memory[min(heads)[1]], range(rows))]

    def _add(self, session: Session, kind: dict[str, Queue]) -> None:
        pin = session.pin
        if pin is None:
            return
        kind.setdefault(session.key.model, OrderedDict())[session] = None
        if session.parked is None:
            pin.idle += 1
        else:
            pin.parked += 1
