"""Prints results as plain columns, the last one a ratio within the same run."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(str(cell)) for cell in cells) for cells in zip(columns, *rows)]
    print(f"\n{title}")
    for line in (columns, *rows):
        print(
            "  " + "  ".join(f"{cell:>{width}}" if i else f"{cell:<{width}}" for i, (cell, width) in enumerate(zip(line, widths)))
        )


def ratios(title: str, seconds: dict[str, float], sequences: int, floor: str) -> None:
    """CPU seconds per 1000 sequences of each contender, and its ratio to `floor`."""
    rows = [
        [name, f"{value / sequences * 1000:.3f}", f"{value / seconds[floor]:.2f}"]
        for name, value in sorted(seconds.items(), key=lambda e: e[1])
    ]
    show(title, ["contender", "CPU s / 1000 sequences", f"ratio to {floor!r}"], rows)
