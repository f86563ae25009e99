"""What one sequence has stored between its passes: its inputs, what earlier passes left, and running totals. In host memory.

A stored sequence is read in any order that a pass may go through it; it is freed as soon as no later pass reads it. Knows no
layers and no other sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.step_counts import ONWARD, TURNED, Change, Order

Array = NDArray[np.generic]


class PassMemory:
    """sequences [T, *features], masks [T] and vectors [*features] start as the inputs, which are not copied."""

    def __init__(self, sequences: Mapping[str, Array], masks: Mapping[str, Array], vectors: Mapping[str, Array]) -> None:
        self.sequences = dict(sequences)
        self.masks = dict(masks)
        self.vectors = dict(vectors)
        self.totals: dict[str, Array] = {}
        self._given = frozenset(sequences)

    @property
    def stored_bytes(self) -> int:
        """Of whole sequences; the inputs, and masks, are not counted."""
        return sum(array.nbytes for name, array in self.sequences.items() if name not in self._given)

    def sequence(self, reference: str, order: Order, start: int, steps: int) -> Array:
        """What a pass reads for its steps start … start + steps; for windows, all that they reach over.

        Ahead of a row and beyond it, where windows reach too, stands something finite.
        """
        return _piece(self.sequences[reference], order, start, steps)

    def mask(self, source: str, order: Order, start: int, steps: int) -> Array | None:
        """None if this sequence has no such mask: every step counts."""
        return _piece(self.masks[source], order, start, steps) if source in self.masks else None

    def first(self, reference: str, change: Change, start: int) -> tuple[int, int]:
        """(where the window of step `start` begins in the row, how many steps the row has)."""
        steps = len(self.sequences[reference])
        return change.start(steps) + change.ahead(start), steps

    def put(self, reference: str, start: int, piece: Array, steps: int) -> None:  # [t, *features]
        """The next steps of a sequence that will have `steps`."""
        _put(self.sequences, reference, start, piece, steps)

    def put_mask(self, source: str, start: int, piece: Array, steps: int) -> None:  # [t]
        _put(self.masks, source, start, piece, steps)

    def free(self, sequences: Iterable[str], masks: Iterable[str]) -> None:
        for reference in sequences:
            del self.sequences[reference]
        for source in masks:
            self.masks.pop(source, None)


def _piece(array: Array, order: Order, start: int, steps: int) -> Array:
    whole = len(array)
    if order == ONWARD:
        return _inside(array, start, start + steps)
    if order == TURNED:
        return _inside(array, whole - start - steps, whole - start)[::-1]
    first = order.start(whole) + order.ahead(start)
    last = first + order.span(steps)
    if first >= 0 and last <= whole:
        return array[first:last]
    places: NDArray[np.intp] = order.source(np.arange(first, last), whole)
    return array.take(places.clip(0, whole - 1), axis=0)


def _inside(array: Array, first: int, last: int) -> Array:
    if first < 0 or last > len(array):
        needed = max(last, len(array) - first)
        raise ValueError(f"a sequence of {len(array)} time steps was read as if it had at least {needed}")
    return array[first:last]


def _put(arrays: dict[str, Array], name: str, start: int, piece: Array, steps: int) -> None:
    if name not in arrays:
        arrays[name] = np.empty((steps, *piece.shape[1:]), piece.dtype)
    arrays[name][start : start + len(piece)] = piece
