"""One line of log a second for all the requests that were refused in it, however many. Knows no request and no engine."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = 1.0


class RefusalLog:
    """On the event loop. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: Counter[str] = Counter()
        self._told_seconds = float("-inf")

    def refused(self, cause: str, number: int = 1) -> None:
        """The first are told at once, those after it together a second later, with whoever comes then or by `settle`."""
        self._refused[cause] += number
        self.settle()

    def settle(self) -> None:
        """Tells what is due."""
        if not self._refused or self._clock() < self._told_seconds + _INTERVAL_SECONDS:
            return
        causes = ", ".join(f"{number} {cause}" for cause, number in sorted(self._refused.items()))
        _log.warning("overload: %d requests refused and told when to come again (%s)", self._refused.total(), causes)
        self._refused.clear()
        self._told_seconds = self._clock()
