"""Bounds that a gradual promote must keep, as people write them: `errors > 1%, difference > 1e-3, p99 > 2x`. Pure.

Each names a quantity and what is too much of it. Knows neither how quantities are observed nor what follows of a broken bound.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from cellserve.service.registry.policy.durations import duration_words, parse_seconds

ERRORS: Final = "errors"
DIFFERENCE: Final = "difference"

_FORM: Final = "write a quantity, > and what is too much of it, as in: errors > 1%, difference > 1e-3, p99 > 2x"
_QUANTITIES: Final = "errors, difference, and latencies such as p50, p99 and p99.9"
_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(?:\.[0-9]+)?)")
_LONGEST_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class ErrorBound:
    """share: of the requests to a version, how many may fail."""

    share: float

    quantity = ERRORS

    def __str__(self) -> str:
        return f"errors > {100 * self.share:g}%"


@dataclass(frozen=True, slots=True)
class DifferenceBound:
    """largest: |a − b| of any number of both versions' answers to one request."""

    largest: float

    quantity = DIFFERENCE

    def __str__(self) -> str:
        return f"difference > {self.largest:g}"


@dataclass(frozen=True, slots=True)
class LatencyBound:
    """percent: of requests, that are no slower. Either seconds, or times: as often as long as the other version takes."""

    percent: float
    seconds: float | None = None
    times: float | None = None

    @property
    def quantity(self) -> str:
        return f"p{self.percent:g}"

    def __str__(self) -> str:
        return f"{self.quantity} > {f'{self.times:g}x' if self.seconds is None else _seconds_words(self.seconds)}"


Bound = ErrorBound | DifferenceBound | LatencyBound


def parse_bounds(text: str) -> tuple[Bound, ...]:
    """In the order given; nothing of an empty text. Raises ValueError, which says what is wrong and how one is written."""
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"bounds of {len(text)} characters are too long; at most {_LONGEST_TEXT} are taken")
    if not text.strip():
        return ()
    bounds = tuple(_bound(part.strip()) for part in text.split(","))
    quantities = [bound.quantity for bound in bounds]
    for quantity in quantities:
        if quantities.count(quantity) > 1:
            raise ValueError(f"{quantity} is bounded twice in {text.strip()!r}: say it once")
    return bounds


def bounds_text(bounds: tuple[Bound, ...]) -> str:
    """As `parse_bounds` takes them."""
    return ", ".join(map(str, bounds))


def _bound(part: str) -> Bound:
    quantity, sign, limit = (piece.strip() for piece in part.partition(">"))
    if not sign or not quantity or not limit:
        raise ValueError(f"{part!r} is no bound: {_FORM}")
    if limit.startswith("="):
        raise ValueError(f"{part!r} is no bound, for what is reached is still kept: write > in place of >=")
    if quantity == ERRORS:
        return ErrorBound(_share(part, limit))
    if quantity == DIFFERENCE:
        return DifferenceBound(_number(part, limit, "a number, as in 1e-3"))
    percentile = _PERCENTILE.fullmatch(quantity)
    if percentile is None or float(percentile[1]) == 0:
        raise ValueError(f"{quantity!r} is nothing that can be bounded: there are {_QUANTITIES}")
    return _latency(part, float(percentile[1]), limit)


def _share(part: str, limit: str) -> float:
    expected = "a percentage below 100%, as in 1%, or a number below 1, as in 0.01"
    share = _number(part, limit.removesuffix("%").strip(), expected) / (100 if limit.endswith("%") else 1)
    if share >= 1:
        raise ValueError(f"{part!r}: expected {expected}; more than that cannot fail")
    return share


def _latency(part: str, percent: float, limit: str) -> LatencyBound:
    expected = "a duration, as in 50ms, or how often as long as the other version takes, as in 2x"
    if limit.endswith("x"):
        times = _number(part, limit[:-1].strip(), expected)
        if times < 1:
            raise ValueError(f"{part!r}: a version that is as fast as the other one breaks it; expected 1x or more")
        return LatencyBound(percent, times=times)
    try:
        if limit.replace(".", "", 1).isdigit():
            raise ValueError
        seconds = parse_seconds(limit)
    except ValueError:
        raise ValueError(f"{part!r}: expected {expected}") from None
    return LatencyBound(percent, seconds=seconds)


def _number(part: str, text: str, expected: str) -> float:
    """Finite and not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{part!r}: expected {expected}")
    return number


def _seconds_words(seconds: float) -> str:
    return f"{1000 * seconds:g}ms" if seconds < 1 else duration_words(seconds)
