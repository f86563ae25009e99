"""Line charts as inline SVG, both axes logarithmic: colours come from the page's style sheet. Knows no models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

_WIDTH, _HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 30, 42

Point = tuple[float, float]


def chart(title: str, x_name: str, y_name: str, lines: Mapping[str, Sequence[Point]], y_range: tuple[float, float]) -> str:
    """An <svg>. The n-th line has the class `s<n>`. Values above 0 only, all within y_range; not every line may be empty."""
    x_ticks = sorted({x for line in lines.values() for x, _ in line})
    x_low, x_high = log10(x_ticks[0]), log10(x_ticks[-1])
    y_low, y_high = floor(log10(y_range[0])), ceil(log10(y_range[1]))
    y_high = max(y_high, y_low + 1)

    def place(x: float, y: float) -> Point:
        across = (log10(x) - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        up = (log10(y) - y_low) / (y_high - y_low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [_text(_LEFT, 18, "title", title)]
    for power in range(y_low, y_high + 1):
        _, y = place(x_ticks[0], 10.0**power)
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(_text(_LEFT - 6, y + 4, "right", f"{10.0**power:g}"))
    for tick in x_ticks:
        x, _ = place(tick, 10.0**y_low)
        drawn.append(_text(x, _HEIGHT - _BOTTOM + 16, "middle", f"{tick:g}"))
    drawn.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "middle", x_name))
    drawn.append(f'<text class="middle" transform="translate(13 {_HEIGHT / 2:.0f}) rotate(-90)">{escape(y_name)}</text>')
    for index, (name, line) in enumerate(lines.items()):
        placed = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<polyline class="s{index}" points="{path}"/>')
        for (x, y), (given_x, given_y) in zip(placed, line):
            told = escape(f"{name}: {given_y:.4g} {y_name} at {given_x:g} {x_name}")
            drawn.append(f'<circle class="s{index}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{told}</title></circle>')
    body = "\n".join(drawn)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
