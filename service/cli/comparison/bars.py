"""Bars lying one below the other, as inline SVG: colours come from the page's style sheet. Knows no models."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _NAMES, _VALUES, _TOP, _LINE, _THICK = 520, 150, 60, 30, 22, 14


class Bar(NamedTuple):
    """told: the value in words. colour: the class `s<colour>` of the style sheet."""

    name: str
    value: float
    told: str
    colour: int = 0


def bars(title: str, drawn: Sequence[Bar]) -> str:
    """An <svg>. Values are at least 0; the largest takes all the width there is."""
    largest = max((bar.value for bar in drawn), default=0.0) or 1.0
    height = _TOP + _LINE * len(drawn) + 8
    parts = [f'<text class="title" x="0" y="16">{escape(title)}</text>']
    for number, bar in enumerate(drawn):
        top = _TOP + _LINE * number
        width = (_WIDTH - _NAMES - _VALUES) * bar.value / largest
        told = f"<title>{escape(f'{bar.name}: {bar.told}')}</title>"
        parts.append(f'<text class="right" x="{_NAMES - 6}" y="{top + _THICK - 3}">{escape(bar.name)}</text>')
        parts.append(f'<rect class="s{bar.colour}" x="{_NAMES}" y="{top}" width="{width:.1f}" height="{_THICK}">{told}</rect>')
        parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{top + _THICK - 3}">{escape(bar.told)}</text>')
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'
