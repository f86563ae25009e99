"""A page as one text, its tables, and how all pages look. Knows nothing that is told on one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_COLOURS: Final = (  # of the n-th line, in light and in dark
    ("#0b62c4", "#6cb2ff"),
    ("#c2410c", "#ff9a5c"),
    ("#15803d", "#5fd38a"),
    ("#9333ea", "#cf9bff"),
    ("#8a6100", "#ecc94b"),
    ("#be185d", "#ff8fc0"),
)
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d5dae0; --bad: #b00020; LIGHT }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14171b; --faint: #3a414a; --bad: #ff7b72; DARK } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1320px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.charts svg { max-width: 720px } .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1rem }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink) } svg .title { font-weight: 600; font-size: 12px }
svg .right { text-anchor: end } svg .middle { text-anchor: middle } svg .grid { stroke: var(--faint) }
polyline { fill: none; stroke-width: 2 }
svg .mark { stroke: var(--ink); stroke-dasharray: 4 3 } .wide { overflow-x: auto } .bad { color: var(--bad); font-weight: 600 }
.good { font-weight: 600 }
table { border-collapse: collapse } th, td { padding: .25rem .75rem;
  border-bottom: 1px solid var(--faint); text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { font-weight: 600 } dd { margin: 0 }
.key span { margin-right: 1.25rem }
.key i { display: inline-block; width: 1.5em; height: .3em; margin-right: .4em;
  vertical-align: middle }
"""


def document(title: str, sections: Iterable[str], head: str = "", style: str = "") -> str:
    """A whole page: the title, then sections of HTML. head, style: what it has beside others, in HTML and CSS."""
    body = "\n".join((f"<h1>{escape(title)}</h1>", *sections))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{head}<title>{escape(title)}</title>\n<style>{_style()}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def key(labels: Sequence[str]) -> str:
    """Which colour is whose."""
    entries = "".join(f'<span><i class="b{index}"></i>{escape(label)}</span>' for index, label in enumerate(labels))
    return f'<p class="key">{entries}</p>'


def table_of(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Headings that start with `#` are numbers and stand to the right."""
    kinds = [' class="number"' if heading.startswith("#") else "" for heading in headings]
    head = "".join(f"<th{kind}>{escape(heading.removeprefix('#'))}</th>" for kind, heading in zip(kinds, headings))
    cells = ("".join(f"<td{kind}>{escape(str(cell))}</td>" for kind, cell in zip(kinds, row)) for row in rows)
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    return (
        f'<h2>{escape(title)}</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _style() -> str:
    light, dark = ("; ".join(f"--c{index}: {pair[mode]}" for index, pair in enumerate(_COLOURS)) for mode in (0, 1))
    rules = (
        f"polyline.s{index} {{ stroke: var(--c{index}) }} circle.s{index} {{ fill: var(--c{index}) }} "
        f".key .b{index} {{ background: var(--c{index}) }}"
        for index in range(len(_COLOURS))
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark) + "\n".join(rules)
