"""Items in the order of their turns, each put in and taken out again by its id. Knows no clock and nothing of the items."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class OrderedQueue(Generic[T]):
    """Some thousand of them at most: adding and discarding moves what stands behind, which is cheap as long as it is few."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int, T]] = []  # no two ids are the same, so items are never compared
        self._turns: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, identity: int) -> bool:
        return identity in self._turns

    def __iter__(self) -> Iterator[T]:
        """Lower turns first, of equal ones lower ids."""
        return (item for _, _, item in self._order)

    def add(self, turn: float, identity: int, item: T) -> None:
        """No two items have one id."""
        self._turns[identity] = turn
        insort(self._order, (turn, identity, item))

    def discard(self, identity: int) -> bool:
        """Whether it was there."""
        turn = self._turns.pop(identity, None)
        if turn is not None:
            del self._order[bisect_left(self._order, (turn, identity))]
        return turn is not None
