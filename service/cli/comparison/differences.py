"""How far two versions' answers to the same rows lie apart, and which decisions flip. Pure: arrays in, plain facts out.

An answer is a decision where all its numbers lie in [0, 1]: the largest of them where they make 1, else each of them by whether
it reaches one half. Knows no server and no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.service.errors import InvalidInput

Array = NDArray[Any]
Answers = Mapping[str, Sequence[Array]]  # by output: of each row [units] or [T, units]

PERCENTILES: Final = (50, 90, 99)
_TOGETHER_ONE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Row:
    """One input. largest: |a − b| of any number of any output; infinite where only one of them is finite. flips: decisions that
    are others, of `decisions`; first_flip: the first of them, as (output, step or None, decision before, decision after).
    """

    index: int
    largest: float
    mean: float
    decisions: int = 0
    flips: int = 0
    first_flip: tuple[str, int | None, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Differences:
    rows: tuple[Row, ...]

    @classmethod
    def between(cls, before: Answers, after: Answers) -> Differences:
        """Raises InvalidInput: answers that cannot be held against each other."""
        _require_alike(before, after)
        deciding = {name for name in before if _decides(before[name]) and _decides(after[name])}
        return cls(tuple(_row(index, before, after, deciding) for index in range(len(next(iter(before.values()))))))

    @property
    def largest(self) -> float:
        return max(row.largest for row in self.rows)

    @property
    def decisions(self) -> int:
        return sum(row.decisions for row in self.rows)

    @property
    def flips(self) -> int:
        return sum(row.flips for row in self.rows)

    @property
    def flipped(self) -> list[Row]:
        return [row for row in self.rows if row.flips]

    def worst(self, count: int) -> list[Row]:
        """The largest differences first, then in the order of the inputs."""
        return sorted(self.rows, key=lambda row: -row.largest)[:count]

    def percentiles(self) -> dict[int, float]:
        """Of the rows' largest differences: that of the row which so many per cent do not exceed."""
        values = sorted(row.largest for row in self.rows)
        return {percent: values[max(0, -(-len(values) * percent // 100) - 1)] for percent in PERCENTILES}

    def by_decade(self) -> dict[str, int]:
        """How many rows differ by how much: not at all, then by powers of ten from the smallest to the largest."""
        exponents = [int(np.floor(np.log10(row.largest))) for row in self.rows if 0 < row.largest < np.inf]
        counts = {"0": sum(row.largest == 0 for row in self.rows)}
        for exponent in range(min(exponents), max(exponents) + 1) if exponents else ():
            counts[f"1e{exponent}"] = exponents.count(exponent)
        if infinite := sum(row.largest == np.inf for row in self.rows):
            counts["not finite"] = infinite
        return counts


def _require_alike(before: Answers, after: Answers) -> None:
    if set(before) != set(after):
        raise InvalidInput(f"the versions answer with other outputs: {', '.join(before)} and {', '.join(after)}")
    for name in before:
        for index, (one, other) in enumerate(zip(before[name], after[name], strict=True)):
            if one.shape != other.shape:
                shapes = f"{list(one.shape)} and {list(other.shape)}"
                raise InvalidInput(f"the versions answer row {index} in other shapes, {name} in {shapes}: nothing to compare")


def _row(index: int, before: Answers, after: Answers, deciding: set[str]) -> Row:
    apart = np.concatenate([_apart(before[name][index], after[name][index]).reshape(-1) for name in before])
    decisions, flips, first = 0, 0, None
    for name in (name for name in before if name in deciding):
        was, now = _decisions(before[name][index]), _decisions(after[name][index])
        places = [place for place, (one, other) in enumerate(zip(was, now)) if one != other]
        decisions, flips = decisions + len(was), flips + len(places)
        if places and first is None:
            step = places[0] if before[name][index].ndim > 1 else None
            first = (name, step, was[places[0]], now[places[0]])
    return Row(index, float(np.max(apart, initial=0.0)), float(np.mean(apart)) if apart.size else 0.0, decisions, flips, first)


def _apart(one: Array, other: Array) -> Array:
    """|one − other|; 0 where both are the same, finite or not, and infinite where one alone is finite."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(one - other))
    return np.where(np.isnan(apart), np.inf, apart)


def _decides(rows: Sequence[Array]) -> bool:
    return all(bool(np.all((row >= 0) & (row <= 1))) for row in rows)


def _decisions(answer: Array) -> list[str]:
    """One for each step: a class by its number, or of several yes-or-noes those that are yes."""
    steps = answer.reshape(-1, answer.shape[-1])
    if steps.shape[1] > 1 and bool(np.all(np.abs(steps.sum(axis=1) - 1) < _TOGETHER_ONE)):
        return [str(number) for number in steps.argmax(axis=1)]
    return [",".join(map(str, np.flatnonzero(step >= 0.5))) or "none" for step in steps]
