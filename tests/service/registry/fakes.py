"""A small real model without a file; a publish gate without an oracle, and the real one, asked once of each model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.errors import ModelError
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.registry.repository.repository import Repository, parity_gate

SPEC = ModelSpec(
    inputs=(InputSpec(name="x", width=3),),
    layers=(LstmLayer(name="lstm", inputs=("x",), units=4), DenseLayer(name="head", inputs=("lstm",), units=2)),
    outputs=("head",),
)


def weights(seed: int = 0) -> Weights:
    """Each seed has a digest of its own."""
    random = np.random.default_rng(seed)
    return Weights.of({name: random.normal(size=shape) for name, shape in expected_weights(SPEC).items()})


@dataclass(frozen=True)
class FakeSource:
    framework: str = "keras"
    version: str = "2.2.4"
    file: str = "digits.h5"
    digest: str = "sha256:" + "0" * 64


@dataclass(frozen=True)
class FakeImport:
    spec: ModelSpec = SPEC
    weights: Weights = field(default_factory=weights)
    source: FakeSource = FakeSource()
    notes: tuple[str, ...] = ("dropout acts only in training and is ignored",)


@dataclass(frozen=True)
class FakeGolden:
    def to_json(self) -> dict[str, Any]:
        return {"inputs": [[1.0]], "outputs": [[2.0]]}


@dataclass(frozen=True)
class FakeReport:
    bound: float = 1e-5
    differences: dict[str, float] = field(default_factory=lambda: {"2": 1e-7})
    refused: dict[str, str] = field(default_factory=dict)
    golden: FakeGolden = FakeGolden()


_reports: dict[tuple[str, str], Any] = {}


def measured_once(spec: Any, weights: Any) -> Any:
    """What the real gate says. For tests that are not about publishing: they publish the same few models all day."""
    asked = (spec.model_dump_json(), weights.digest)
    if asked not in _reports:
        _reports[asked] = parity_gate(spec, weights)
    return _reports[asked]


def passing_gate(spec: ModelSpec, weights: Weights) -> Any:
    return FakeReport()


def failing_gate(spec: ModelSpec, weights: Weights) -> Any:
    raise ModelError("layer 'lstm' under implementation '2' differs from the oracle by 0.5")


def imported(seed: int = 0) -> Any:
    return FakeImport(weights=weights(seed))


def repository(root: Any) -> Repository:
    return Repository(root, gate=passing_gate)
