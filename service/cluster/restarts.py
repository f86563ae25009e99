"""How long to wait before what has died is started again. Pure: the clock is passed in."""

from __future__ import annotations

from typing import Final

_STEADY_SECONDS: Final = 30.0
_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 30.0


class Restarts:
    """At once where it had run for a while; longer each time where it dies soon after it was started. count: so far."""

    def __init__(self) -> None:
        self.count = 0
        self._soon = 0

    def wait_seconds(self, lived_seconds: float) -> float:
        """lived_seconds: from its start to its death."""
        self.count += 1
        self._soon = 0 if lived_seconds >= _STEADY_SECONDS else self._soon + 1
        if self._soon <= 1:
            return 0.0
        return min(_FIRST_SECONDS * 2.0 ** (self._soon - 2), _LONGEST_SECONDS)
