"""At how many time steps a graph runs whose time is free, and how many it answers then. Knows no graph: it asks a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CANDIDATES: Final = (8, 16, 32, 64, 100, 160, 256, 320, 480, 512, 640, 1024, 1280, 1536, 2048, 4096, 8000, 16000, 4, 3, 2, 1)
LARGEST_STEP: Final = 4096
"""Of a graph's hop from one answer to the next."""

LONG: Final = (2 * LARGEST_STEP, LARGEST_STEP, 2048, 1024, 512, 256, 128, 64)


@dataclass(frozen=True, slots=True)
class Lengths:
    """`tried`: some that it runs at; only one where it runs at no other. `fewest`, a multiple of `multiple`: the shortest.

    `longest`: of those that were tried; so long, if it can be, that any output whose length depends on it is longer.
    """

    fewest: int
    multiple: int
    tried: tuple[int, ...]
    longest: int


def lengths(runs: Callable[[int], bool]) -> Lengths | None:
    """None: it runs at no number of steps that was tried."""
    first = next((steps for steps in CANDIDATES if runs(steps)), None)
    if first is None:
        return None
    multiple = next((step for step in _divisors(first) if runs(first + step)), None)
    if multiple is None:
        return Lengths(first, 1, (first,), first)
    low, high = 0, first // multiple  # in multiples: it does not run at the lower one, and runs at the higher
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle * multiple) else (middle, high)
    fewest = high * multiple
    tried = [steps for steps in (first, first + multiple, 2 * first + multiple) if runs(steps)]
    long = (first + (steps - first) // multiple * multiple for steps in LONG if steps > max(tried))
    longest = next((steps for steps in long if runs(steps)), max(tried))
    return Lengths(fewest, multiple, tuple(dict.fromkeys((*tried, fewest))), longest)


def window(count: Callable[[int], int], found: Lengths) -> tuple[int, int] | None:
    """(size, stride) of the windows that the answered steps are: count(t) = (t - size) // stride + 1. None: no such numbers."""
    start, multiple = max(found.tried), found.multiple
    answered = count(start)
    first = _first(lambda steps: count(steps) > answered, start, multiple)
    second = None if first is None else _first(lambda steps: count(steps) > answered + 1, start, multiple)
    if first is None or second is None:
        return None
    stride = second - first
    size = first - answered * stride
    for steps in (*found.tried, first, second, second + 5 * multiple, 3 * start):
        if stride < 1 or count(steps) != (steps - size) // stride + 1:
            return None
    return size, stride


def _first(reached: Callable[[int], bool], start: int, multiple: int) -> int | None:
    """The fewest steps, beyond `start`, at which that is so, which from there on it is."""
    low, high = 0, 1
    while not reached(start + high * multiple):
        low, high = high, 2 * high
        if high * multiple > 2 * LARGEST_STEP:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(start + middle * multiple) else (middle, high)
    return start + high * multiple


def _divisors(number: int) -> list[int]:
    return [step for step in range(1, number + 1) if number % step == 0]
