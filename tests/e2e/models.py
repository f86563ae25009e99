"""The models of the end-to-end tests: the demo's trained digits, and small ones with an oracle beside.

Knows descriptions, weights and the repository; no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cellserve.models import importers, reference
from cellserve.models.description.shapes import expected_weights
from cellserve.models.importers import ImportedModel, Source
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.registry.model_settings import SETTINGS_FILE
from cellserve.service.registry.repository.repository import Repository

DIGITS = "digits"
DEMO = Path(__file__).parents[2] / "deploy" / "demo"
VOCABULARY, BIDIRECTIONAL_WIDTH, STEPS_WIDTH = 20, 4, 3


@dataclass(frozen=True)
class RandomModel:
    """A network with seeded random weights."""

    name: str
    spec: ModelSpec

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        numbers = np.random.default_rng(len(self.name))
        shapes = expected_weights(self.spec)
        return {name: numbers.normal(0.0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}

    def answer(self, inputs: np.ndarray, lengths: Sequence[int] | None = None) -> np.ndarray:
        """The oracle's: inputs [B, T, F] or ids [B, T] → [B, units], or [B, T, units] with zeros past a row's length."""
        counts = [inputs.shape[1]] * len(inputs) if lengths is None else list(lengths)
        return reference.run(self.spec, self.arrays, (inputs,), counts)[0][0]

    def publish(self, repository: Repository) -> None:
        source = Source("keras", "3.0", f"{self.name}.keras", f"sha256:{'0' * 64}")
        repository.publish(self.name, ImportedModel(self.spec, Weights.of(self.arrays), source), alias="stable")


def _model(name: str, entry: dict[str, object], layers: list[dict[str, object]]) -> RandomModel:
    spec = {"inputs": [{"name": "x", **entry}], "layers": layers, "outputs": [layers[-1]["name"]]}
    return RandomModel(name, ModelSpec.model_validate(spec))


IDS = _model(
    "words",
    {"kind": "ids"},
    [
        {"kind": "embedding", "name": "embedding", "inputs": ["x"], "vocabulary": VOCABULARY, "units": 6},
        {"kind": "gru", "name": "gru", "inputs": ["embedding"], "units": 8, "reset_after": True},
        {"kind": "dense", "name": "dense", "inputs": ["gru"], "units": 5, "activation": "softmax"},
    ],
)
BIDIRECTIONAL = _model(
    "both_ways",
    {"width": BIDIRECTIONAL_WIDTH},
    [
        {"kind": "lstm", "name": "forward", "inputs": ["x"], "units": 5},
        {"kind": "lstm", "name": "backward", "inputs": ["x"], "units": 5, "go_backwards": True},
        {"kind": "merge", "name": "both", "inputs": ["forward", "backward"], "mode": "concat"},
    ],
)
STEPS = _model(
    "steps",
    {"width": STEPS_WIDTH},
    [
        {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 6, "return_sequences": True},
        {"kind": "gru", "name": "gru", "inputs": ["lstm"], "units": 4, "return_sequences": True, "reset_after": True},
    ],
)
RANDOM_MODELS = (IDS, BIDIRECTIONAL, STEPS)


class SummingModel(RandomModel):
    """Adds up its steps: with small integers every answer is exact to the bit, whatever it is batched with."""

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.eye(*shape, dtype=np.float32) for name, shape in expected_weights(self.spec).items()}


_ADDING: dict[str, object] = {"kind": "simple_rnn", "name": "sum", "inputs": ["x"], "units": 3, "activation": "linear"}
SUMS = SummingModel("sums", _model("", {"width": 3}, [{**_ADDING, "use_bias": False}]).spec)
LIVE_SUMS = SummingModel("live_sums", SUMS.spec)  # its settings ask clients for sequences
MODEL_NAMES = (DIGITS, *(model.name for model in RANDOM_MODELS), SUMS.name, LIVE_SUMS.name)


def publish_all(root: Path) -> None:
    """Every model of this module into a new repository."""
    repository = Repository(root)
    repository.publish(DIGITS, importers.load(DEMO / "digits.keras"), alias="stable")
    for model in (*RANDOM_MODELS, SUMS, LIVE_SUMS):
        model.publish(repository)
    (root / LIVE_SUMS.name / SETTINGS_FILE).write_text("sequence_batching: true\n")
