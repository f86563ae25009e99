"""When what finds no idle time takes its turn among requests all the same: seldom, and for a small part of the time.

Decides by a clock that is passed in. Knows no requests and no versions.
"""

from __future__ import annotations

from typing import Final

_LEAST_SECONDS: Final = 1.0  # from one to the next
_MOST_SHARE: Final = 0.02  # of the time


class Insistence:
    """now_seconds: on any clock that only rises."""

    def __init__(self) -> None:
        self._due_seconds = 0.0

    def due(self, now_seconds: float) -> bool:
        return now_seconds >= self._due_seconds

    def took(self, now_seconds: float, computed_seconds: float) -> None:
        """One has ended now, whether it was computed or not."""
        self._due_seconds = now_seconds + max(_LEAST_SECONDS, computed_seconds / _MOST_SHARE)
