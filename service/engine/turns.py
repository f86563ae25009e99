"""Items in the order of their turns, each put in and taken out again by its id. Knows no clock and nothing of the items."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Some thousand of them at most: adding and discarding moves what stands behind, which is cheap as long as it is few."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int]] = []
        self._items: dict[int, tuple[float, T]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, identity: int) -> bool:
        return identity in self._items

    def __iter__(self) -> Iterator[T]:
        """Lower turns first, of equal ones lower ids."""
        items = self._items
        return (items[identity][1] for _, identity in self._order)

    def add(self, turn: float, identity: int, item: T) -> None:
        """No two items have one id."""
        self._items[identity] = (turn, item)
        insort(self._order, (turn, identity))

    def discard(self, identity: int) -> bool:
        """Whether it was there."""
        entry = self._items.pop(identity, None)
        if entry is not None:
            del self._order[bisect_left(self._order, (entry[0], identity))]
        return entry is not None
