"""What is proposed for a state dict that does not say its wiring: a description that fits the shapes and can be imported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load

KINDS = ["embedding", "conv1d", "batch_normalization", *["lstm", "lstm", "reverse", "merge"] * 2, "layer_normalization"]


def everything() -> nn.Module:
    return nn.ModuleDict(
        {
            "emb": nn.Embedding(9, 4),
            "conv": nn.Conv1d(4, 6, 3),
            "bn": nn.BatchNorm1d(6),
            "rnn": nn.LSTM(6, 5, 2, bidirectional=True),
            "ln": nn.LayerNorm(10),
            "cell": nn.GRUCell(10, 7, bias=False),
            "act": nn.PReLU(),
            "fc": nn.Linear(7, 2),
        }
    )


def refusal(path: Path) -> ImportRefused:
    with pytest.raises(ImportRefused) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize("sorted_by_name", [False, True])
def test_what_is_proposed_fits_the_shapes_and_can_be_imported(tmp_path: Path, sorted_by_name: bool) -> None:
    path, weights = tmp_path / "model", everything().state_dict()
    if sorted_by_name:
        save_file(weights, path)
    else:
        torch.save(weights, path)
    refused = refusal(path)
    assert "`cellserve inspect` proposes" in str(refused)
    (tmp_path / "description.yaml").write_text(refused.proposal)
    spec = load(path, description=tmp_path / "description.yaml").spec
    kinds = [layer.kind for layer in spec.layers]
    kinds.remove("prelu")  # one number, which fits anywhere
    assert kinds == [*KINDS, "gru", "dense"]
    assert "padding, strides, dilation, groups, activation?" in refused.proposal


def test_what_fits_nowhere_is_named(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(6, 4, 3), "b.weight": torch.zeros(5, 99), "c.table": torch.zeros(2)}, tmp_path / "model")
    proposed = refusal(tmp_path / "model").proposal
    assert "inputs: [{name: x, width: 4}]" in proposed
    assert "No place was found for: b, c" in proposed


def test_a_crf_is_named_and_the_emissions_are_served_without_it(tmp_path: Path) -> None:
    model = nn.ModuleDict({"rnn": nn.GRU(3, 4), "fc": nn.Linear(4, 2)})
    torch.save({**model.state_dict(), "crf.transitions": torch.zeros(2, 2)}, tmp_path / "model")
    refused = refusal(tmp_path / "model")
    assert "this is a CRF" in str(refused)
    assert not refused.proposal
    (tmp_path / "description.yaml").write_text('ignore: ["crf.*"]\nhead: sequence')
    assert [layer.kind for layer in load(tmp_path / "model", description=tmp_path / "description.yaml").spec.layers][
        -1
    ] == "dense"
