"""What perf_analyzer takes and leaves: input files with expected outputs, its CSV and its JSON. Knows no server."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
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


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of a sequence. inputs, outputs: every value, in row-major order."""

    sequence_id: int
    inputs: tuple[float, ...]
    outputs: tuple[float, ...]


def write_inputs(path: Path, rows: Iterable[np.ndarray], expected: Iterable[np.ndarray] = ()) -> None:
    """rows: [T, F] float32 of any lengths. expected: [units] for each, compared bit by bit; none for no comparison."""
    data = [{"inputs": _entry(row)} for row in rows]
    validation = [{"outputs": _entry(answer)} for answer in expected]
    path.write_text(json.dumps({"data": data} | ({"validation_data": validation} if validation else {})))


def write_sequences(path: Path, sequences: Iterable[Sequence[np.ndarray]], expected: Iterable[Sequence[np.ndarray]] = ()) -> None:
    """sequences: what each request of each sequence feeds, [T, F] float32. expected: [units] after each of them.

    The first sequence must be the longest: perf_analyzer looks for a request's step modulo its length.
    """
    data = [[{"inputs": _entry(piece)} for piece in pieces] for pieces in sequences]
    validation = [[{"outputs": _entry(answer)} for answer in answers] for answers in expected]
    path.write_text(json.dumps({"data": data} | ({"validation_data": validation} if validation else {})))


def read_exchanges(profile: Path) -> list[Exchange]:
    """In the order in which they were sent."""
    (experiment,) = json.loads(profile.read_text())["experiments"]
    requests = sorted(experiment["requests"], key=itemgetter("timestamp"))
    return [
        Exchange(
            request["sequence_id"], tuple(request["request_inputs"]["inputs"]), tuple(request["response_outputs"][0]["outputs"])
        )
        for request in requests
    ]


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
