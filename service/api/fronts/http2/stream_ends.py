"""Streams that end before their client has done sending: which of them are told when, and which are then stopped.

A client that has not spoken yet is told once it has: gRPC's own tells its failure to send instead of how its call ended. One that
goes on sending after its answer is stopped, at once where its message is not wanted, else after a while: at once, it would fail
what it is in the midst of sending. Pure: the clock is passed in, and what waits to be sent is asked for. Knows no session.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from cellserve.service.api.fronts.http2.headers import Fields

PATIENCE_SECONDS: Final = 0.2  # with a client that has its answer and is still sending


class StreamEnds:
    """Of one connection. unsent: how many bytes of a stream wait to be sent."""

    __slots__ = ("_answered", "_silent", "_turned_away", "_untold")

    def __init__(self) -> None:
        self._silent: set[int] = set()  # streams of which nothing but headers has come
        self._untold: dict[int, Fields] = {}  # how those of them end, until something comes
        self._answered: dict[int, float] = {}  # when; streams whose client may still be sending
        self._turned_away: set[int] = set()  # the same, of one message that is not wanted

    @property
    def any_answered(self) -> bool:
        return bool(self._answered)

    @property
    def any_turned_away(self) -> bool:
        return bool(self._turned_away)

    @property
    def silent(self) -> Collection[int]:
        """Streams that have begun and of which nothing but headers has come."""
        return tuple(self._silent)

    @property
    def untold(self) -> Collection[int]:
        return tuple(self._untold)

    def begun(self, stream_id: int) -> None:
        """By headers that more shall follow."""
        self._silent.add(stream_id)

    def spoken(self, stream_id: int) -> None:
        """More than headers has come."""
        self._silent.discard(stream_id)

    def all_spoken(self) -> None:
        """Nobody is waited for any more."""
        self._silent.clear()

    def gone(self, stream_id: int) -> None:
        """Both sides have ended it."""
        self._silent.discard(stream_id)
        self._untold.pop(stream_id, None)
        self._answered.pop(stream_id, None)
        self._turned_away.discard(stream_id)

    def postponed(self, stream_id: int, fields: Fields) -> bool:
        """Whether its client has not spoken yet: then `fields`, how it ends, are kept for it."""
        if stream_id not in self._silent:
            return False
        self._silent.discard(stream_id)
        self._untold[stream_id] = fields
        return True

    def due(self, stream_id: int) -> Fields | None:
        """What was kept for it, once; None where nothing is."""
        return self._untold.pop(stream_id, None)

    def nothing_due(self) -> None:
        """Nothing can be told any more."""
        self._untold.clear()

    def answered(self, stream_id: int, now_seconds: float) -> None:
        self._answered[stream_id] = now_seconds

    def turned_away(self, stream_id: int) -> None:
        self._turned_away.add(stream_id)

    def unwanted(self, unsent: Callable[[int], int]) -> list[int]:
        """Those turned away that are to be stopped, each told once; while something waits to be sent it would be lost."""
        stopped = [stream_id for stream_id in self._turned_away if not unsent(stream_id)]
        self._turned_away.difference_update(stopped)
        return stopped

    def overdue(self, now_seconds: float, unsent: Callable[[int], int]) -> list[int]:
        """As `unwanted`, of those that had their answer long enough ago."""
        latest_seconds = now_seconds - PATIENCE_SECONDS / 2
        stopped = [
            stream_id for stream_id, seconds in self._answered.items() if seconds <= latest_seconds and not unsent(stream_id)
        ]
        for stream_id in stopped:
            del self._answered[stream_id]
        return stopped
