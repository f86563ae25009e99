"""How long the next chunk may take: never so long that whoever comes meanwhile waits much for it.

`join_latency` is the longest a newcomer should wait for the running chunk. While arrivals are rare a chunk may take a tenth of
the time between them, up to `max_chunk`: so even the first newcomer after a lull waits little, compared with the lull. It may
also take a tenth of the time that even the quickest was here lately: who waits in a queue or computes for so long hardly notices,
and longer chunks cost less for each step. Pure: the clock is passed in.
"""

from __future__ import annotations

from typing import Final

_RECENT: Final = 0.2  # weight of the newest gap between arrivals
_OF_GAP: Final = 0.1  # of the time between arrivals
_OF_QUICKEST: Final = 0.1  # of the time that the quickest was here lately
_FORGETTING: Final = 0.02  # of the quickest, for each that took longer


class ChunkBudget:
    """Seconds for the next chunk, from how often sequences arrive at one worker and how long they are there."""

    def __init__(self, join_latency_seconds: float, max_chunk_seconds: float) -> None:
        self._join_latency_seconds = join_latency_seconds
        self._max_chunk_seconds = max(max_chunk_seconds, join_latency_seconds)
        self._last_arrival_seconds: float | None = None
        self._mean_gap_seconds = 0.0
        self._last_gap_seconds = 0.0
        self._quickest_seconds = 0.0

    @property
    def max_chunk_seconds(self) -> float:
        return self._max_chunk_seconds

    def arrived(self, now_seconds: float) -> None:
        if self._last_arrival_seconds is not None:
            self._last_gap_seconds = now_seconds - self._last_arrival_seconds
            self._mean_gap_seconds += _RECENT * (self._last_gap_seconds - self._mean_gap_seconds)
        self._last_arrival_seconds = now_seconds

    def ended(self, seconds: float) -> None:
        """A sequence is done, so long after it arrived."""
        slower = max(0.0, seconds - self._quickest_seconds)
        self._quickest_seconds = min(seconds, self._quickest_seconds + _FORGETTING * slower)

    def seconds(self, now_seconds: float) -> float:
        if self._last_arrival_seconds is None:
            return self._join_latency_seconds
        usual = min(self._mean_gap_seconds, self._last_gap_seconds)  # a lull is over as soon as two come close together
        gap = max(usual, now_seconds - self._last_arrival_seconds)
        unnoticed = max(_OF_GAP * gap, _OF_QUICKEST * self._quickest_seconds)
        return min(max(unnoticed, self._join_latency_seconds), self._max_chunk_seconds)
