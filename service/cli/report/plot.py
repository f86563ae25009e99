"""Plots of lines as inline SVG: colours come from the page's style sheet. Knows no load tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 42
_TICKS: Final = 5

Point = tuple[float, float | None]


def plot(
    title: str,
    x_name: str,
    y_name: str,
    lines: Mapping[str, Sequence[Point]],
    *,
    logarithmic: bool = False,
    x_labels: Mapping[float, str] | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """An <svg>; empty where there is no point. The n-th line has the class `s<n>`; y None: a gap.

    logarithmic: of y, whose values are then above 0. x_labels: in place of numbers. marks: upright lines, by x, and their words.
    """
    told = [(x, y) for line in lines.values() for x, y in line if y is not None and (y > 0 or not logarithmic)]
    if not told:
        return ""
    x_ends = min(x for x, _ in told), max([x for x, _ in told] + [x for x, _ in marks])
    y_ticks = _powers([y for _, y in told]) if logarithmic else _round_ticks(0.0, max(y for _, y in told))
    x_ticks = list(x_labels) if x_labels else _round_ticks(*x_ends)
    low, high = (min(x_ends[0], x_ticks[0]), max(x_ends[1], x_ticks[-1]))

    def across(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((x - low) / (high - low) if high > low else 0.5)

    def up(y: float) -> float:
        at, bottom, top = (math.log10(each) if logarithmic else each for each in (y, y_ticks[0], y_ticks[-1]))
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (at - bottom) / (top - bottom)

    drawn = [_text(_LEFT, 18, "title", title)]
    for tick in y_ticks:
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        drawn.append(_text(_LEFT - 6, up(tick) + 4, "right", f"{tick:g}"))
    for tick in x_ticks:
        drawn.append(_text(across(tick), _HEIGHT - _BOTTOM + 16, "middle", x_labels[tick] if x_labels else f"{tick:g}"))
    drawn.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "middle", x_name))
    drawn.append(f'<text class="middle" transform="translate(13 {_HEIGHT / 2:.0f}) rotate(-90)">{escape(y_name)}</text>')
    for x, words in marks:
        upright = f'<line class="mark" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}">'
        drawn.append(f"{upright}<title>{escape(words)}</title></line>")
        drawn.append(_text(across(x), _TOP - 2, "middle", words))
    for index, (name, line) in enumerate(lines.items()):
        for piece in _pieces(line, logarithmic):
            path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in piece)
            drawn.append(f'<polyline class="s{index}" points="{path}"/>')
            drawn += [
                f'<circle class="s{index}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5">'
                f"<title>{escape(f'{name}: {y:.4g} {y_name}, at {x:.4g} {x_name}')}</title></circle>"
                for x, y in piece
            ]
    body = "\n".join(drawn)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'


def _pieces(line: Sequence[Point], positive: bool) -> list[list[tuple[float, float]]]:
    """Cut at its gaps."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in line:
        if y is None or (positive and y <= 0):
            pieces.append([])
        else:
            pieces[-1].append((x, y))
    return [piece for piece in pieces if piece]


def _round_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that hold both ends between them."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * each for each in (1, 2, 5, 10) if span / (power * each) <= _TICKS)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _powers(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
