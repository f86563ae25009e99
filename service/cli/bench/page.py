"""The page that `cellserve bench --html` writes: charts, and every cell in a table. One file, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Final

from cellserve.service.cli.bench import facts, tables
from cellserve.service.cli.bench.chart import Point, chart
from cellserve.service.cli.bench.tables import BenchTable

_COLOURS: Final = (  # of the n-th implementation, in light and in dark
    ("#0b62c4", "#6cb2ff"),
    ("#c2410c", "#ff9a5c"),
    ("#15803d", "#5fd38a"),
    ("#9333ea", "#cf9bff"),
    ("#8a6100", "#ecc94b"),
    ("#be185d", "#ff8fc0"),
)
_LOWEST_DRAWN_MEBIBYTES: Final = 0.1

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d5dae0; LIGHT }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14171b; --faint: #3a414a; DARK } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1320px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 1rem }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink) } svg .title { font-weight: 600; font-size: 12px }
svg .right { text-anchor: end } svg .middle { text-anchor: middle } svg .grid { stroke: var(--faint) }
polyline { fill: none; stroke-width: 2 }
table { border-collapse: collapse } th, td { padding: .25rem .75rem;
  border-bottom: 1px solid var(--faint); text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { font-weight: 600 } dd { margin: 0 }
.key span { margin-right: 1.25rem }
.key i { display: inline-block; width: 1.5em; height: .3em; margin-right: .4em;
  vertical-align: middle }
"""


def page(data: dict[str, Any]) -> str:
    """`data`: as `cellserve bench --json` prints it."""
    title = escape(f"cellserve bench {data['model']}")
    first, *others = reversed(tables.all_tables(data))
    sections = (
        f"<h1>{title}</h1>",
        "<p>One call of the engine, without a server, in milliseconds of its thread. Memory: how far it rises during a call.</p>",
        _facts(data),
        _table(first),
        _key(data["implementations"]),
        _charts(data, "Latency", "ms", lambda cell: cell["median_seconds"] * 1e3),
        _charts(data, "Peak memory", "MiB", _drawn_mebibytes),
        *(_table(table) for table in reversed(others)),
    )
    body = "\n".join(sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_style()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _charts(data: dict[str, Any], title: str, unit: str, value: Callable[[dict[str, Any]], float | None]) -> str:
    """One chart for each number of rows, all on one scale; nothing where nothing was measured."""
    measured = [(cell, y) for cell in data["cells"] if (y := value(cell)) is not None]
    if not measured:
        return ""
    values, charts = [y for _, y in measured], []
    for rows in dict.fromkeys(cell["rows"] for cell, _ in measured):
        lines: dict[str, list[Point]] = {label: [] for label in data["implementations"]}
        for cell, y in measured:
            if cell["rows"] == rows:
                lines[cell["implementation"]].append((cell["steps"], y))
        charts.append(chart(f"{title}, rows: {rows}", "time steps", unit, lines, (min(values), max(values))))
    drawn = "\n".join(charts)
    return f'<h2>{title}</h2>\n<div class="charts">\n{drawn}\n</div>'


def _drawn_mebibytes(cell: dict[str, Any]) -> float | None:
    peak = cell["peak_bytes"]
    return None if peak is None else max(peak / tables.MEBIBYTE, _LOWEST_DRAWN_MEBIBYTES)


def _key(labels: Sequence[str]) -> str:
    entries = "".join(f'<span><i class="b{index}"></i>{escape(label)}</span>' for index, label in enumerate(labels))
    return f'<p class="key">{entries}</p>'


def _facts(data: dict[str, Any]) -> str:
    entries = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts.lines(data))
    return f"<dl>\n{entries}\n</dl>"


def _table(table: BenchTable) -> str:
    kinds = [' class="number"' if heading.startswith("#") else "" for heading in table.headings]
    head = "".join(f"<th{kind}>{escape(heading.removeprefix('#'))}</th>" for kind, heading in zip(kinds, table.headings))
    rows = [
        "<tr>" + "".join(f"<td{kind}>{escape(str(cell))}</td>" for kind, cell in zip(kinds, row)) + "</tr>" for row in table.rows
    ]
    body = "\n".join(rows)
    return f"<h2>{escape(table.title)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _style() -> str:
    light, dark = ("; ".join(f"--c{index}: {pair[mode]}" for index, pair in enumerate(_COLOURS)) for mode in (0, 1))
    rules = (
        f"polyline.s{index} {{ stroke: var(--c{index}) }} circle.s{index} {{ fill: var(--c{index}) }} "
        f".key .b{index} {{ background: var(--c{index}) }}"
        for index in range(len(_COLOURS))
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark) + "\n".join(rules)
