"""The page that `cellserve bench --html` writes: charts, and every cell in a table. One file, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Final

from cellserve.service.cli.bench import facts, tables
from cellserve.service.cli.bench.chart import Point, chart
from cellserve.service.cli.bench.tables import BenchTable
from cellserve.service.pages.document import document, key, table_of

_LOWEST_DRAWN_MEBIBYTES: Final = 0.1


def page(data: dict[str, Any]) -> str:
    """`data`: as `cellserve bench --json` prints it."""
    title = f"cellserve bench {data['model']}"
    first, *others = reversed(tables.all_tables(data))
    sections = (
        "<p>One call of the engine, without a server, in milliseconds of its thread. Memory: how far it rises during a call.</p>",
        _facts(data),
        _table(first),
        key(data["implementations"]),
        _charts(data, "Latency", "ms", lambda cell: cell["median_seconds"] * 1e3),
        _charts(data, "Peak memory", "MiB", _drawn_mebibytes),
        *(_table(table) for table in reversed(others)),
    )
    return document(title, sections)


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


def _facts(data: dict[str, Any]) -> str:
    entries = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts.lines(data))
    return f"<dl>\n{entries}\n</dl>"


def _table(table: BenchTable) -> str:
    return table_of(table.title, table.headings, table.rows)
