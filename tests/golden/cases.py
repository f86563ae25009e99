"""The golden cases: model files that real frameworks wrote, with what those frameworks answered.

A case is one or several calls, one after the other: with several, the states of one call are the initial states of the next,
as in a stateful model. Knows neither the oracle nor the implementations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models import importers
from cellserve.models.importers import ImportedModel

Array = npt.NDArray[Any]

FOLDER = Path(__file__).parent
DESCRIPTIONS = {"pt_rnn_relu2": FOLDER / "pt_rnn_relu2.description.yaml"}  # what a state dict cannot say


@dataclass(frozen=True)
class GoldenCall:
    """Batch-major inputs, the outputs that the framework gave, and the final states by key ("0.h") where it gave them."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    states: dict[str, Array]


@dataclass(frozen=True)
class GoldenCase:
    """One model file of one case; `name` is the file's."""

    name: str
    path: Path
    description: Path | None
    calls: tuple[GoldenCall, ...]
    atol: float
    rtol: float

    def load(self) -> ImportedModel:
        return importers.load(self.path, description=self.description)


def all_cases() -> list[GoldenCase]:
    return [
        GoldenCase(
            name=file,
            path=FOLDER / file,
            description=DESCRIPTIONS.get(facts["case"]),
            calls=_calls(facts["case"]),
            atol=facts["tolerance"]["atol"],
            rtol=facts["tolerance"]["rtol"],
        )
        for facts in (json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json")))
        for file in sorted(facts["model_files"].values())
    ]


def _calls(case: str) -> tuple[GoldenCall, ...]:
    with np.load(FOLDER / f"{case}.npz") as stored:
        inputs, outputs = _numbered(stored, "x"), _numbered(stored, "y")
        states = {
            f"{layer}.{state[0]}": array
            for state in ("h_n", "c_n")
            if state in stored
            for layer, array in enumerate(stored[state])
        }
    if case.endswith("_stateful_chunks"):  # one long input in equal pieces, an output after each
        pieces = np.split(inputs[0], len(outputs), axis=1)
        return tuple(GoldenCall((piece,), (output,), {}) for piece, output in zip(pieces, outputs, strict=True))
    if case.endswith("_stateful_mask"):  # x, then x1
        return tuple(GoldenCall((x,), (y,), {}) for x, y in zip(inputs, outputs, strict=True))
    return (GoldenCall(inputs, outputs, states),)


def _numbered(stored: Any, name: str) -> tuple[Array, ...]:
    """x, x1, x2 …"""
    return tuple(stored[key] for key in sorted(stored) if key == name or (key.startswith(name) and key[1:].isdigit()))
