"""One line of log a second for all of a kind that happened in it, however much: how many of each cause. Knows no causes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_INTERVAL_SECONDS: Final = 1.0


class CountedLog:
    """On the event loop. sentence: of the line, with %(total)d, %(causes)s and, if it likes, %(last)s. clock: seconds."""

    def __init__(self, sentence: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._sentence = sentence
        self._clock = clock
        self._numbers: Counter[str] = Counter()
        self._last = ""
        self._told_seconds = float("-inf")

    def count(self, cause: str, number: int = 1, last: str = "") -> None:
        """The first are told at once, those after them together a second later, with whoever comes then or by `settle`.

        last: what is told of the last one beside its cause.
        """
        self._numbers[cause] += number
        self._last = last
        self.settle()

    def settle(self) -> None:
        """Tells what is due."""
        if not self._numbers or self._clock() < self._told_seconds + _INTERVAL_SECONDS:
            return
        causes = ", ".join(f"{number} {cause}" for cause, number in sorted(self._numbers.items()))
        _log.warning(self._sentence, {"total": self._numbers.total(), "causes": causes, "last": self._last})
        self._numbers.clear()
        self._told_seconds = self._clock()
