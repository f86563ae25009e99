"""How long the next chunk may take, and how many time steps of a given set of rows are best put into it.

Time first: `join_latency` is the longest a newcomer should wait for the running chunk; while arrivals are rare a chunk may
grow to `max_chunk`. Then the shape: a chunk is cut at the end of a row where running on would mostly compute padding.
Pure: the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows

from cellserve.service.engine.cost_model import CostModel

_RECENT = 0.2  # weight of the newest gap between arrivals


class ChunkBudget:
    """Seconds for the next chunk, from how often sequences arrive at one worker."""

    def __init__(self, join_latency_seconds: float, max_chunk_seconds: float) -> None:
        self._join_latency_seconds = join_latency_seconds
        self._max_chunk_seconds = max(max_chunk_seconds, join_latency_seconds)
        self._last_arrival_seconds: float | None = None
        self._gap_seconds = 0.0

    @property
    def max_chunk_seconds(self) -> float:
        return self._max_chunk_seconds

    def arrived(self, now_seconds: float) -> None:
        if self._last_arrival_seconds is not None:
            gap = now_seconds - self._last_arrival_seconds
            self._gap_seconds += _RECENT * (gap - self._gap_seconds)
        self._last_arrival_seconds = now_seconds

    def seconds(self, now_seconds: float, anyone_waiting: bool) -> float:
        if anyone_waiting or self._last_arrival_seconds is None:
            return self._join_latency_seconds
        gap = max(self._gap_seconds, now_seconds - self._last_arrival_seconds)
        return self._max_chunk_seconds if gap > self._max_chunk_seconds else self._join_latency_seconds


def best_steps(remaining: Rows[int], limit: int, costs: CostModel) -> int:
    """The chunk length, up to `limit`, with the lowest predicted cost per real time step, for rows with `remaining` steps.

    Only the ends of rows are worth looking at: between two of them every further step has the same padding.
    """
    ends = sorted(remaining)
    limit = min(limit, ends[-1])
    if ends[0] >= limit:
        return limit
    rows = len(ends)
    best, best_cost = limit, float("inf")
    ended_steps = 0
    candidates = [(end, index) for index, end in enumerate(ends) if end < limit]
    for end, index in candidates:
        cost = costs.seconds(rows, end) / (ended_steps + (rows - index) * end)
        ended_steps += end
        if cost < best_cost:
            best, best_cost = end, cost
    last = costs.seconds(rows, limit) / (ended_steps + (rows - len(candidates)) * limit)
    return limit if last <= best_cost else best
