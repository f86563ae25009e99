"""What a comparison found, as data: what --json prints, and what the page and the tables show. Knows no server."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cellserve.service.cli.comparison.differences import Differences, Row

WORST_ROWS: Final = 20


class Speed(NamedTuple):
    """Of one version under one implementation. compute_seconds: of the server, for all rows of the file, once."""

    version: str
    implementation: str
    median_seconds: float
    p99_seconds: float
    compute_seconds: float


class Bounds(NamedTuple):
    """What may differ; None: anything."""

    difference: float | None = None
    flips: int | None = None


def report(
    names: tuple[str, str],
    differences: Differences,
    speeds: Sequence[Speed],
    bounds: Bounds,
    inputs: Mapping[int, str],
    steps: int,
) -> dict[str, Any]:
    """names: of both versions. inputs: names of rows, where they have any. steps: fed in one request."""
    return {
        "before": names[0],
        "after": names[1],
        "rows": len(differences.rows),
        "time_steps": steps,
        "largest_difference": _finite(differences.largest),
        "percentiles": {f"p{percent}": _finite(value) for percent, value in differences.percentiles().items()},
        "rows_by_difference": differences.by_decade(),
        "decisions": differences.decisions,
        "flips": differences.flips,
        "worst_rows": [_row(row, inputs) for row in differences.worst(WORST_ROWS)],
        "flipped_rows": [_row(row, inputs) for row in differences.flipped[:WORST_ROWS]],
        "speeds": [speed._asdict() for speed in speeds],
        "exceeded": exceeded(differences, bounds),
    }


def exceeded(differences: Differences, bounds: Bounds) -> list[str]:
    """What differs more than it may, a sentence each."""
    told = []
    if bounds.difference is not None and not differences.largest <= bounds.difference:
        told.append(f"answers differ by up to {differences.largest:.3g}; at most {bounds.difference:g} was allowed")
    if bounds.flips is not None and differences.flips > bounds.flips:
        told.append(f"{differences.flips} of {differences.decisions} decisions flip; at most {bounds.flips} were allowed")
    return told


def _row(row: Row, inputs: Mapping[int, str]) -> dict[str, Any]:
    data: dict[str, Any] = {"index": row.index, "input": inputs.get(row.index, ""), "largest": _finite(row.largest)}
    data |= {"mean": _finite(row.mean), "flips": row.flips}
    if row.first_flip is not None:
        output, step, before, after = row.first_flip
        data["first_flip"] = {"output": output, "step": step, "before": before, "after": after}
    return data


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
