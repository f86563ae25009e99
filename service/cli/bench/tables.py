"""The tables of `cellserve bench`, for the terminal and for the page alike. Made of what `--json` prints; measures nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cellserve.models.measuring.traffic import TRAFFIC_WORDS

MEBIBYTE: Final = 2**20

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class BenchTable:
    """Headings that start with `#` are numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]


def all_tables(data: dict[str, Any]) -> tuple[BenchTable, ...]:
    """Every cell, the differences, what is not offered (where there is any), what to use."""
    refused = (BenchTable("Not offered", ("implementation", "why"), tuple(data["refused"].items())),) if data["refused"] else ()
    return (cells(data), differences(data), *refused, recommendations(data))


def cells(data: dict[str, Any]) -> BenchTable:
    headings = ("#rows", "#steps", "implementation", "#median ms", "#times the fastest", "#steps/s", "#peak MiB")
    return BenchTable(f"{data['model']}: one call on one thread", headings, tuple(_cell_rows(data)))


def differences(data: dict[str, Any]) -> BenchTable:
    oracle = data["oracle"]
    rows = tuple((label, f"{difference:.1e}") for label, difference in oracle["largest_differences"].items())
    headings = ("implementation", f"#largest, over {oracle['longest_steps']} steps")
    return BenchTable("Difference to the float64 oracle", headings, rows)


def recommendations(data: dict[str, Any]) -> BenchTable:
    rows = tuple((TRAFFIC_WORDS[one["traffic"]], one["words"]) for one in data["recommendations"])
    return BenchTable("Fastest here", ("traffic", "implementation"), rows)


def _cell_rows(data: dict[str, Any]) -> Iterator[Row]:
    fastest: dict[tuple[int, int], float] = {}
    for cell in data["cells"]:
        shape = (cell["rows"], cell["steps"])
        fastest[shape] = min(cell["median_seconds"], fastest.get(shape, cell["median_seconds"]))
    for cell in data["cells"]:
        seconds = cell["median_seconds"]
        yield (
            cell["rows"],
            cell["steps"],
            cell["implementation"],
            f"{seconds * 1e3:.3f}",
            f"{seconds / fastest[cell['rows'], cell['steps']]:.2f}",
            f"{cell['steps_per_second']:,.0f}",
            _mebibytes(cell["peak_bytes"]),
        )


def _mebibytes(count: int | None) -> str:
    """No more digits than the measurement has."""
    if count is None:
        return "unknown"
    return f"{count / MEBIBYTE:.1f}" if count >= 0.1 * MEBIBYTE else "< 0.1"
