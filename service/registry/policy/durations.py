"""Durations as people write them: `15m`, `90 s`, `1h`, or a number of seconds. Knows no settings."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_UNITS_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)")
LONGEST_SECONDS: Final = 1e9  # some thirty years


def parse_seconds(given: Any) -> float:
    """Seconds, none negative. Raises ValueError, which says how one is written."""
    number: float | None = None
    if isinstance(given, int | float) and not isinstance(given, bool):
        number = float(given)
    elif isinstance(given, str) and (found := _DURATION.fullmatch(given.strip())):
        unit = _UNITS_SECONDS.get(found[2] or "s")
        number = None if unit is None else float(found[1]) * unit
    if number is None or not math.isfinite(number) or not 0 <= number <= LONGEST_SECONDS:
        raise ValueError(f"{given!r} is not a duration: write seconds, or a number and ms, s, m, h or d, as in 15m")
    return number


def duration_words(seconds: float) -> str:
    """ "15m", "90s", "1.5s": the largest unit that it is a whole number of, else seconds."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS_SECONDS[unit] == 0:
            return f"{seconds / _UNITS_SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


Duration = Annotated[float, BeforeValidator(parse_seconds)]
