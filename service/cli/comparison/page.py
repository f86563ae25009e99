"""The page that `cellserve compare --html` writes: plots and tables of a report. One file, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, Final

from cellserve.service.cli.comparison.bars import Bar, bars
from cellserve.service.pages.document import document, table_of

_STYLE: Final = """
body { max-width: 1100px } .charts { grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)) }
.s0 { fill: var(--c0) } .s1 { fill: var(--c1) }
"""


def page(data: dict[str, Any]) -> str:
    """data: as `report` makes it."""
    flipped = [table_of("Inputs whose decisions flip", ROW_HEADINGS, row_cells(data["flipped_rows"]))] if data["flips"] else []
    sections = (
        *(f'<p class="bad">{escape(sentence)}</p>' for sentence in data["exceeded"]),
        _facts(data),
        '<div class="charts">',
        bars("Inputs by the largest difference of their answers", _by_decade(data["rows_by_difference"])),
        bars("Median latency in ms of a request with all inputs", _latencies(data)),
        "</div>",
        table_of("Inputs with the largest differences", ROW_HEADINGS, row_cells(data["worst_rows"])),
        *flipped,
        table_of("Speed", SPEED_HEADINGS, speed_cells(data)),
    )
    return document(f"{data['before']} and {data['after']} on {data['rows']} inputs", sections, style=_STYLE)


ROW_HEADINGS: Final = ("#input", "name", "#largest difference", "#mean difference", "#flips", "first flip")
SPEED_HEADINGS: Final = ("implementation", "version", "#median ms", "#p99 ms", "#computed in ms", "#µs of compute a time step")


def facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    """The summary, as names and words."""
    percentiles = ", ".join(f"{name} {_number(value)}" for name, value in data["percentiles"].items())
    decisions = f"{data['flips']} of {data['decisions']}" if data["decisions"] else "these answers are no decisions"
    return [
        ("largest difference", _number(data["largest_difference"])),
        ("of the inputs' largest", percentiles),
        ("decisions that flip", decisions),
    ]


def row_cells(rows: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (str(row["index"]), row["input"], _number(row["largest"]), _number(row["mean"]), str(row["flips"]), _flip(row))
        for row in rows
    ]


def speed_cells(data: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            speed["implementation"],
            speed["version"],
            *(f"{speed[name] * 1e3:.2f}" for name in ("median_seconds", "p99_seconds", "compute_seconds")),
            f"{speed['compute_seconds'] * 1e6 / data['time_steps']:.2f}",
        )
        for speed in data["speeds"]
    ]


def _flip(row: dict[str, Any]) -> str:
    flip = row.get("first_flip")
    if flip is None:
        return ""
    step = "" if flip["step"] is None else f" at step {flip['step']}"
    return f"{flip['output']}{step}: {flip['before']} → {flip['after']}"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"


def _by_decade(counts: dict[str, int]) -> list[Bar]:
    names = {name: f"below {10.0 ** (int(name[2:]) + 1):g}" if name.startswith("1e") else name for name in counts}
    return [Bar(names[name], count, str(count)) for name, count in counts.items()]


def _latencies(data: dict[str, Any]) -> list[Bar]:
    return [
        Bar(
            f"{speed['implementation']}, {speed['version']}",
            speed["median_seconds"] * 1e3,
            f"{speed['median_seconds'] * 1e3:.2f}",
            int(speed["version"] == data["after"]),
        )
        for speed in data["speeds"]
    ]


def _facts(data: dict[str, Any]) -> str:
    entries = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts(data))
    return f"<dl>\n{entries}\n</dl>"
