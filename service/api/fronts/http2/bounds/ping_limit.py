"""How often a client may ping: as gRPC's own server counts it. Pure: the clock is passed in."""

from __future__ import annotations

from typing import Final

_STRIKES: Final = 2  # that are let pass


class PingLimit:
    """Of one connection."""

    __slots__ = ("_interval_seconds", "_last_seconds", "_strikes")

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._last_seconds = float("-inf")
        self._strikes = 0

    def answered(self) -> None:
        """Headers or messages were sent: pings are taken for measurements of the way there."""
        self._last_seconds = float("-inf")
        self._strikes = 0

    def exceeded_by(self, now_seconds: float) -> bool:
        """A ping has come: whether it is one too many."""
        early = now_seconds - self._last_seconds < self._interval_seconds
        self._last_seconds = now_seconds
        self._strikes += early
        return self._strikes > _STRIKES
