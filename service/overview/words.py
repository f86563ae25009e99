"""Numbers as people read them: rates, times, memory, spans. Knows no server."""

from __future__ import annotations

from typing import Final

NOTHING: Final = "–"
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86_400.0
_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def number(value: float | None) -> str:
    """With as many digits as tell something."""
    if value is None:
        return NOTHING
    if value == round(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1e3:.2f}"


def percent(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.0%}"


def memory(in_bytes: float | None) -> str:
    if in_bytes is None:
        return NOTHING
    size, unit = next(((size, unit) for size, unit in _SIZES if in_bytes >= size), (1.0, "B"))
    return f"{in_bytes / size:.{0 if unit == 'B' else 1}f} {unit}"


def duration(seconds: float) -> str:
    """In the two units that tell: 3.2 s, 4 min 05 s, 2 h 07 min, 3 d 04 h."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE):02} s"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE):02} min"
    return f"{int(seconds // _DAY)} d {int(seconds % _DAY // _HOUR):02} h"
