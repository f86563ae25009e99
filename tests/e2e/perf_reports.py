"""What perf_analyzer takes and leaves: input files with expected outputs, its CSV and its JSON. Knows no server."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Report:
    """One line of the CSV: the load, and averages in microseconds as the server tells them."""

    requests_per_second: float
    queue_microseconds: float
    compute_microseconds: float
    request_count: int


def write_inputs(path: Path, rows: Iterable[np.ndarray], expected: Iterable[np.ndarray] = ()) -> None:
    """rows: [T, F] float32 of any lengths. expected: [units] for each, compared bit by bit; none for no comparison."""
    data = [{"inputs": _entry(row)} for row in rows]
    validation = [{"outputs": _entry(answer)} for answer in expected]
    path.write_text(json.dumps({"data": data} | ({"validation_data": validation} if validation else {})))


def read_report(table: Path, profile: Path) -> Report:
    (line,) = csv.DictReader(table.read_text().splitlines())
    (experiment,) = json.loads(profile.read_text())["experiments"]
    return Report(
        float(line["Inferences/Second"]),
        float(line["Server Queue"]),
        float(line["Server Compute Infer"]),
        len(experiment["requests"]),
    )


def _entry(array: np.ndarray) -> dict[str, Any]:
    return {"content": [float(value) for value in array.ravel()], "shape": list(array.shape)}  # integers are not taken
