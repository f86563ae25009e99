"""Recorded traffic: a CSV whose columns are named in its first line. Reads; draws nothing."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellserve.service.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Trace:
    """due_seconds: ascending from 0; empty where the file has no such column. steps: of each request."""

    due_seconds: NDArray[np.float64]
    steps: NDArray[np.int64]


def read(path: Path, *, times: bool) -> Trace:
    """times: whether the column `seconds` is needed. Raises InvalidInput: the first line that is wrong."""
    seconds, steps = [], []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = {"steps", *(["seconds"] if times else [])} - set(rows.fieldnames or ())
            if missing:
                raise InvalidInput(
                    f"{path} has no column {min(missing)!r}; its first line names the columns, as in: seconds,steps"
                )
            for row in rows:
                try:
                    steps.append(int(row["steps"]))
                    seconds.append(float(row["seconds"]) if times else 0.0)
                except (TypeError, ValueError) as error:
                    raise InvalidInput(f"{path}, line {rows.line_num}: {error}") from error
                if steps[-1] < 1 or not np.isfinite(seconds[-1]):
                    raise InvalidInput(f"{path}, line {rows.line_num}: steps are at least 1, and seconds a finite number")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as CSV: {error}") from error
    if not steps:
        raise InvalidInput(f"{path} has no line below its first")
    order = np.argsort(np.array(seconds), kind="stable")
    due = np.array(seconds)[order]
    return Trace(due - due[0], np.array(steps, np.int64)[order])
