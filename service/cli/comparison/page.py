"""The page that `cellserve compare --html` writes: plots and tables of a report. One file, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from cellserve.service.cli.comparison.bars import Bar, bars

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d5dae0; --c0: #0b62c4; --c1: #c2410c; --bad: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14171b; --faint: #3a414a; --c0: #6cb2ff; --c1: #ff9a5c;
  --bad: #ff8f8f } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1100px; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem } .bad { color: var(--bad); font-weight: 600 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem }
svg text { font: 11px system-ui, sans-serif; fill: var(--ink) } svg .title { font-weight: 600; font-size: 12px }
svg .right { text-anchor: end } .s0 { fill: var(--c0) } .s1 { fill: var(--c1) }
table { border-collapse: collapse } th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--faint); text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { font-weight: 600 } dd { margin: 0 }
"""


def page(data: dict[str, Any]) -> str:
    """data: as `report` makes it."""
    title = escape(f"{data['before']} and {data['after']} on {data['rows']} inputs")
    found = "".join(f'<p class="bad">{escape(sentence)}</p>' for sentence in data["exceeded"])
    body = "\n".join(
        (
            f"<h1>{title}</h1>",
            found,
            _facts(data),
            '<div class="charts">',
            bars("Inputs by the largest difference of their answers", _by_decade(data["rows_by_difference"])),
            bars("Median latency in ms of a request with all inputs", _latencies(data)),
            "</div>",
            _table("Inputs with the largest differences", ROW_HEADINGS, row_cells(data["worst_rows"])),
            _table("Inputs whose decisions flip", ROW_HEADINGS, row_cells(data["flipped_rows"])) if data["flips"] else "",
            _table("Speed", SPEED_HEADINGS, speed_cells(data)),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


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


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kinds = [' class="number"' if heading.startswith("#") else "" for heading in headings]
    head = "".join(f"<th{kind}>{escape(heading.removeprefix('#'))}</th>" for kind, heading in zip(kinds, headings))
    lines = ("".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<h2>{escape(title)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
