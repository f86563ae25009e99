"""How far the front is behind its clients: how long it will take to read what waits in its sockets.

Timers do not tell: a loop that comes to each of them in time may have a second of calls waiting to be read. What counts is how
fast it reads while there is something to read; what has just come says nothing of that yet. Pure: knows no sockets.
"""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.3  # of the newest measurement of the pace
_LITTLE_BYTES: Final = 1 << 16  # as much as may just have come
_FORESIGHT: Final = 10.0  # times as long as it was watched: so far a pace is believed


class Unread:
    """`behind_seconds` is to be asked every few hundredths of a second."""

    def __init__(self, now_seconds: float) -> None:
        self._asked_seconds = now_seconds
        self._received_bytes = 0  # since then
        self._waiting_since_seconds: float | None = None
        self._bytes_per_second: float | None = None

    def received(self, received_bytes: int) -> None:
        self._received_bytes += received_bytes

    def behind_seconds(self, now_seconds: float, waiting_bytes: int) -> float:
        """waiting_bytes: in all sockets, to be read."""
        passed_seconds, self._asked_seconds = max(now_seconds - self._asked_seconds, 1e-6), now_seconds
        pace, self._received_bytes = self._received_bytes / passed_seconds, 0
        if waiting_bytes <= _LITTLE_BYTES:
            self._waiting_since_seconds = None
            return 0.0
        if self._waiting_since_seconds is None:  # it may have come this moment, after a time with nothing to read
            self._waiting_since_seconds = now_seconds
            return 0.0
        known = pace if self._bytes_per_second is None else self._bytes_per_second
        self._bytes_per_second = known + _WEIGHT * (pace - known)
        watched_seconds = now_seconds - self._waiting_since_seconds
        return min(waiting_bytes / max(self._bytes_per_second, 1.0), _FORESIGHT * watched_seconds)
