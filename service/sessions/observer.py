"""What live sequences tell an observer, as plain facts. Knows no metrics library."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

from cellserve.service.engine.facts import VersionKey

SessionEvent = Literal[
    "started",
    "restarted",
    "ended",
    "expired",
    "evicted",
    "retired",
    "restored",
    "parked",
    "unparked",
    "lost",
    "repeated",
    "loaded",
    "conflict",
    "refused",
]
EVENTS: Final[tuple[SessionEvent, ...]] = (
    "started",
    "restarted",  # a start on a live id
    "ended",  # by the client
    "expired",
    "evicted",
    "retired",  # with its version
    "restored",  # from a snapshot, or after a restart of the server
    "parked",
    "unparked",
    "lost",  # a feed came for one that this server does not have since its restart
    "repeated",  # a feed was answered again, and not applied again
    "loaded",  # from the session store
    "conflict",  # another replica had moved on: the record in the session store was not the one expected
    "refused",  # a record in the session store that is damaged, or of other weights
)


class SessionCount(NamedTuple):
    """How many sequences are live on a version at the moment it is asked. states_bytes: of what is in memory for them."""

    version: VersionKey
    active: int
    idle: int
    parked: int
    states_bytes: int = 0


class SessionObserver(Protocol):
    """Called on the event loop; must not block."""

    def on_session_event(self, version: VersionKey | None, event: SessionEvent) -> None: ...

    def on_session_step(self, version: VersionKey, seconds: float) -> None:
        """A feed was applied: the time from its arrival to its answer, the wait for earlier feeds included."""


class NoObserver:
    """Nobody listens."""

    def on_session_event(self, version: VersionKey | None, event: SessionEvent) -> None:
        """Nobody counts it."""

    def on_session_step(self, version: VersionKey, seconds: float) -> None:
        """Nobody measures it."""
