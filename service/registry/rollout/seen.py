"""What has been seen of one version's answers while an alias walks: how many, how many failed, how long they took. Bounded.

Pure but for counting. Knows neither clocks nor bounds.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_RESOLUTION: Final = 1.02  # a latency is known within 2 %
_LEAST_SECONDS: Final = 1e-6
_MOST_SECONDS: Final = 1e5
_LOG: Final = math.log(_RESOLUTION)


@dataclass(slots=True)
class Latencies:
    """How long answers took, kept by powers of 1.02: at most some 1,300 numbers, whatever comes."""

    count: int = 0
    _by_power: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        self.count += 1
        self._by_power[math.ceil(math.log(min(max(seconds, _LEAST_SECONDS), _MOST_SECONDS)) / _LOG)] += 1

    def percentile(self, percent: float) -> float:
        """Seconds that so many per cent of the answers do not exceed, 2 % too much at most. 0 of none."""
        left = math.ceil(self.count * percent / 100)
        for power in sorted(self._by_power):
            left -= self._by_power[power]
            if left <= 0:
                return _RESOLUTION**power
        return 0.0


@dataclass(slots=True)
class Seen:
    """failed: through no fault of the client's. refused: for what the client sent. Neither is among `latencies`."""

    failed: int = 0
    refused: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def requests(self) -> int:
        return self.latencies.count + self.failed + self.refused


@dataclass(slots=True)
class Compared:
    """Requests that both versions have answered. largest: |a − b| of any number of them."""

    requests: int = 0
    largest: float = 0.0

    def add(self, difference: float) -> None:
        self.requests += 1
        self.largest = max(self.largest, difference)
