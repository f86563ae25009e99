"""A uniform sample of whatever has come, bounded in rows and bytes. Pure but for counting and the draws that are passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """Of all that was offered each is as likely to be in it (algorithm R), as long as `most_items` is what bounds it.

    most_bytes: what does not fit takes the places of others, drawn at random; what is larger alone is left out. draw: a number in
    [0, 1).
    """

    def __init__(self, most_items: int, most_bytes: int, draw: Callable[[], float]) -> None:
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._draw = draw
        self._items: list[tuple[Item, int]] = []
        self.offered = 0
        self.bytes = 0

    @property
    def items(self) -> list[Item]:
        return [item for item, _ in self._items]

    def offer(self, size_bytes: int, make: Callable[[], Item]) -> None:
        """make: called only if it is taken."""
        self.offered += 1
        if size_bytes > self._most_bytes:
            return
        if self.offered > self._most_items and self._draw() * self.offered >= self._most_items:
            return
        if len(self._items) >= self._most_items:
            self._drop()
        while self.bytes + size_bytes > self._most_bytes:
            self._drop()
        self._items.append((make(), size_bytes))
        self.bytes += size_bytes

    def _drop(self) -> None:
        """One at random; the last takes its place."""
        place = int(self._draw() * len(self._items))
        self.bytes -= self._items[place][1]
        self._items[place] = self._items[-1]
        self._items.pop()
