"""A priority queue whose members may leave from the middle at no cost.

Who leaves is only forgotten; its entry is skipped when it comes up, and all such entries are swept once they outnumber the
living. So every operation is O(log n) on average, however many wait. Knows nothing of what it orders.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

Key = tuple[float, ...]
Member = TypeVar("Member")

_SWEEP_ABOVE = 64  # entries; below this a sweep saves nothing


class LiveHeap(Generic[Member]):
    """Members by (key, identity), lowest first. An identity that was discarded must not come back; one that was popped may."""

    def __init__(self) -> None:
        self._entries: list[tuple[Key, int]] = []
        self._live: dict[int, Member] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._live.values())

    def push(self, key: Key, identity: int, member: Member) -> None:
        heapq.heappush(self._entries, (key, identity))
        self._live[identity] = member

    def first(self) -> tuple[Key, int, Member] | None:
        """(key, identity, member) of the lowest, which stays; None if empty."""
        while self._entries:
            key, identity = self._entries[0]
            if identity in self._live:
                return key, identity, self._live[identity]
            heapq.heappop(self._entries)
        return None

    def pop(self) -> Member:
        """Takes the lowest out. IndexError if empty."""
        while True:
            _, identity = heapq.heappop(self._entries)
            if identity in self._live:
                return self._live.pop(identity)

    def discard(self, identity: int) -> bool:
        """Lets a member go; False, and nothing happens, if it is not (or no longer) there."""
        if self._live.pop(identity, None) is None:
            return False
        if len(self._entries) > _SWEEP_ABOVE and len(self._entries) > 2 * len(self._live):
            self._entries = [entry for entry in self._entries if entry[1] in self._live]
            heapq.heapify(self._entries)
        return True
