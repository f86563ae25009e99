"""One line of log a second for all the connections that were ended in it for what their clients did. Knows no connection."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = 1.0


class Offences:
    """On the event loop. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._causes: Counter[str] = Counter()
        self._last = ""
        self._told_seconds = float("-inf")

    def told(self, cause: str, peer: str, why: str) -> None:
        """The first is told at once, those after it together a second later, with whoever comes then or by `settle`."""
        self._causes[cause] += 1
        self._last = f"{peer}: {why}"
        self.settle()

    def settle(self) -> None:
        """Tells what is due."""
        if not self._causes or self._clock() < self._told_seconds + _INTERVAL_SECONDS:
            return
        causes = ", ".join(f"{number} {cause}" for cause, number in sorted(self._causes.items()))
        _log.warning("%d connections ended for what their clients did (%s), lastly %s", self._causes.total(), causes, self._last)
        self._causes.clear()
        self._told_seconds = self._clock()
