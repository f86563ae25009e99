"""What clients make the front hold, all together: requests that have not come whole, and replies that they do not take.

It is looked at each time so many bytes have moved, since only bytes that move make it grow. Pure: knows no connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

Holder = TypeVar("Holder")

_LOOKS: Final = 16  # while as much moves as may be held


class Holdings:
    """most_bytes: beyond this, whoever holds most must go."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._every_bytes = max(1, most_bytes // _LOOKS)
        self._moved_bytes = 0

    def due(self, moved_bytes: int) -> bool:
        """So many more have been received, or given to be sent: whether it is time to look."""
        self._moved_bytes += moved_bytes
        if self._moved_bytes < self._every_bytes:
            return False
        self._moved_bytes = 0
        return True

    def beyond(self, held: Iterable[tuple[int, Holder]]) -> Iterator[tuple[int, Holder]]:
        """Those who must go, the one that holds most first, until the others are within."""
        falling = sorted(held, key=lambda each: each[0], reverse=True)
        total_bytes = sum(held_bytes for held_bytes, _ in falling)
        for held_bytes, holder in falling:
            if total_bytes <= self._most_bytes:
                return
            total_bytes -= held_bytes
            yield held_bytes, holder
