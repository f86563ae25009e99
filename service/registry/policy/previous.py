"""The versions that answered before the present ones: kept loaded for a while, so that going back to them is instant.

One for each pointer: the last that it left. Pure: the clock is passed in. Knows no disk and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cellserve.service.engine.facts import VersionKey

Pointer = tuple[str, str]  # (model, alias); alias "" is what a request without a version means


class Departure(NamedTuple):
    key: VersionKey
    left_seconds: float


class Previous:
    """left_seconds, now_seconds: on one clock, whichever that is."""

    def __init__(self) -> None:
        self._answering: dict[Pointer, VersionKey] = {}
        self._departures: dict[Pointer, Departure] = {}

    def note(self, answering: Mapping[Pointer, VersionKey], now_seconds: float) -> None:
        """Which version answers each pointer now. What a pointer that is gone was answered by is left too."""
        for pointer, key in self._answering.items():
            if answering.get(pointer) != key:
                self._departures[pointer] = Departure(key, now_seconds)
        self._answering = dict(answering)

    def recall(self, departures: Mapping[Pointer, Departure]) -> None:
        """What had been left before this process began; what it has seen itself counts more."""
        self._departures = {**departures, **self._departures}

    def kept(self, now_seconds: float, keep_seconds: Callable[[str], float]) -> frozenset[VersionKey]:
        """Those that were left no longer ago than their model is to keep them. keep_seconds: by model."""
        self._departures = {
            pointer: departure
            for pointer, departure in self._departures.items()
            if now_seconds - departure.left_seconds < keep_seconds(departure.key.model)
        }
        return frozenset(departure.key for departure in self._departures.values())


def last_departures(moves: Iterable[tuple[str, int | None, float]], model: str) -> dict[Pointer, Departure]:
    """By a model's recorded moves, oldest first: (alias, the version before, when)."""
    return {(model, alias): Departure(VersionKey(model, before), when) for alias, before, when in moves if before is not None}
