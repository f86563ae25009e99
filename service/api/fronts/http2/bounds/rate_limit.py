"""How often something may happen: so many at once, and so many more with each second. Pure: the clock is passed in."""

from __future__ import annotations


class RateLimit:
    """Of one thing at one connection."""

    __slots__ = ("_at_once", "_left", "_per_second", "_seen_seconds")

    def __init__(self, at_once: float, per_second: float, now_seconds: float) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._left = at_once
        self._seen_seconds = now_seconds

    def exceeded_by(self, now_seconds: float) -> bool:
        """It has happened: whether that was once too often."""
        self._left = min(self._at_once, self._left + (now_seconds - self._seen_seconds) * self._per_second)
        self._seen_seconds = now_seconds
        self._left -= 1.0
        return self._left < 0.0
