"""The two lines that let a framework answer: they run as they are printed, and what they write is what --expect takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cellserve.models.importers.expected import read_expected
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.spec import ModelSpec
from cellserve.service.cli.recipes import recipe

LSTM: dict[str, Any] = {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4}


def spec(
    *inputs: dict[str, Any], layers: tuple[dict[str, Any], ...] = (LSTM,), outputs: tuple[str, ...] = ("lstm",)
) -> ModelSpec:
    return ModelSpec.model_validate({"inputs": inputs, "layers": layers, "outputs": outputs})


ONE = spec({"name": "x", "width": 3})
TABLE = {"kind": "embedding", "name": "table", "inputs": ["x"], "vocabulary": 5, "units": 3}
IDS = spec({"name": "x", "kind": "ids"}, layers=(TABLE, {**LSTM, "inputs": ["table"]}))
TWO = spec({"name": "x", "width": 3}, {"name": "start", "kind": "vector", "width": 4}, outputs=("lstm", "lstm:c"))
FLAT = {"kind": "flatten", "name": "flat", "inputs": ["x"]}
FIXED = spec({"name": "x", "width": 3, "time_steps": 4}, layers=(FLAT,), outputs=("flat",))


class Predicts:
    """A Keras model, as far as it is asked: zeros, and as many answers as it has outputs."""

    def __init__(self, outputs: int, width: int = 4) -> None:
        self.answers = [np.zeros((3, width), dtype=np.float32)] * outputs

    def predict(self, given: Any) -> Any:
        return self.answers if len(self.answers) > 1 else self.answers[0]


def run(lines: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, **names: Any) -> FrameworkAnswers:
    monkeypatch.chdir(folder)
    exec("\n".join(lines), names)
    return read_expected(folder / "expect.npz")


@pytest.mark.parametrize(("model", "width"), [(ONE, 4), (IDS, 4), (TWO, 4), (FIXED, 12)])
@pytest.mark.parametrize("framework", ["keras", "tf.keras"])
def test_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: ModelSpec, width: int, framework: str) -> None:
    found = run(recipe(model, framework), tmp_path, monkeypatch, model=Predicts(len(model.outputs), width))
    assert found.readings(model)


class Scorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(self.rnn(x)[0][:, -1])
        return scores


def test_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = {"kind": "dense", "name": "head", "inputs": ["lstm"], "units": 2}
    scored = spec({"name": "x", "width": 3}, layers=(LSTM, head), outputs=("head",))
    assert run(recipe(scored, "torch"), tmp_path, monkeypatch, model=Scorer(), torch=torch).readings(scored)
    whole = spec({"name": "x", "width": 3}, layers=({**LSTM, "return_sequences": True},))
    alone = run(recipe(whole, "torch"), tmp_path, monkeypatch, model=nn.LSTM(3, 4), torch=torch)
    assert len(alone.readings(whole)) == 2


def test_other_programs_are_asked_by_their_own_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Predicts(1).predict
    assert run(recipe(ONE, "arrays"), tmp_path, monkeypatch, answer=answer).readings(ONE)
    assert recipe(ONE, "tensorflow")[1].startswith("y0 = session.run(")
    assert recipe(ONE, "something new") == recipe(ONE, "arrays")
