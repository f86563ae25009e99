"""The golden cases: model files that real frameworks wrote, with what those frameworks answered.

A case is one or several calls, one after the other: with several, the states of one call are the initial states of the next,
as in a stateful model. Knows neither the oracle nor the implementations.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models import importers
from cellserve.models.importers import ImportedModel

Array = npt.NDArray[Any]

FOLDER = Path(__file__).parent
STATE = re.compile(r"state(\d*)_([hc])")  # TensorFlow 1's, by layer; no number where there is one layer


@dataclass(frozen=True)
class GoldenCall:
    """Batch-major inputs, the outputs that the framework gave, and the final states by key ("0.h") where it gave them."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    states: dict[str, Array]
    lengths: tuple[int, ...] | None = None  # None: every row as long as the input


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One model file of one case; `name` is the file's."""

    name: str
    path: Path
    architecture: Path | None
    description: Path | None
    calls: tuple[GoldenCall, ...]
    atol: float
    rtol: float

    def load(self) -> ImportedModel:
        return importers.load(self.path, architecture=self.architecture, description=self.description)


@cache
def imported(case: GoldenCase) -> ImportedModel:
    return case.load()


@cache
def all_cases() -> tuple[GoldenCase, ...]:
    return tuple(
        GoldenCase(
            name=file,
            path=FOLDER / file,
            architecture=_beside(f"{facts['case']}.model.json", f"{facts['case']}.architecture.json") if listed else None,
            description=_beside(f"{file}.description.yaml", f"{facts['case']}.description.yaml"),
            calls=_calls(facts["case"]),
            atol=facts["tolerance"]["atol"],
            rtol=facts["tolerance"]["rtol"],
        )
        for facts in (json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")) if path.name.count(".") == 1)
        for kind, file in sorted(facts["model_files"].items(), key=lambda entry: entry[1])
        if kind != "arch_json"
        for listed in [kind.startswith("weights_")]
    )


def _beside(*names: str) -> Path | None:
    """What the model file cannot say of itself: the first of these that there is."""
    return next((path for path in (FOLDER / name for name in names) if path.is_file()), None)


def _calls(case: str) -> tuple[GoldenCall, ...]:
    with np.load(FOLDER / f"{case}.npz") as stored:
        inputs, outputs = _numbered(stored, "x") or (stored["ids"],), _numbered(stored, "y")
        states = {
            f"{layer}.{state[0]}": array
            for state in ("h_n", "c_n")
            if state in stored
            for layer, array in enumerate(stored[state])
        }
        states |= {f"{match[1] or 0}.{match[2]}": stored[key] for key in stored if (match := STATE.fullmatch(key))}
        lengths = tuple(stored["lengths"].tolist()) if "lengths" in stored else None
    if case.endswith("_stateful_chunks"):  # one long input in equal pieces, an output after each
        pieces = np.split(inputs[0], len(outputs), axis=1)
        return tuple(GoldenCall((piece,), (output,), {}) for piece, output in zip(pieces, outputs, strict=True))
    if case.endswith("_stateful_mask"):  # x, then x1
        return tuple(GoldenCall((x,), (y,), {}) for x, y in zip(inputs, outputs, strict=True))
    return (_call(inputs, outputs, states, lengths),)


def _call(
    inputs: tuple[Array, ...], outputs: tuple[Array, ...], states: dict[str, Array], lengths: tuple[int, ...] | None
) -> GoldenCall:
    """Without the rows of no steps, which TensorFlow answers with zeros and which never reach a network."""
    if lengths is None:
        return GoldenCall(inputs, outputs, states)
    kept = [row for row, length in enumerate(lengths) if length]
    return GoldenCall(
        inputs=tuple(array[kept] for array in inputs),
        outputs=tuple(array[kept] for array in outputs),
        states={key: array[kept] for key, array in states.items()},
        lengths=tuple(lengths[row] for row in kept),
    )


def _numbered(stored: Any, name: str) -> tuple[Array, ...]:
    """x, x1, x2 …"""
    return tuple(stored[key] for key in sorted(stored) if key == name or (key.startswith(name) and key[1:].isdigit()))
