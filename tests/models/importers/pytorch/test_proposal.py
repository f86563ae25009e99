"""What is proposed for a state dict that does not say its wiring: a description that fits the shapes and can be imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cellserve.models import reference
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


class Chain(nn.Module):
    """Modules one after the other, as a proposal takes them to be: sequences [B, T, F], windows of odd size around each step."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():
            match module:
                case nn.Conv1d() | nn.BatchNorm1d():
                    x = module(x.transpose(1, 2)).transpose(1, 2)
                case nn.Conv2d():
                    x = module(x if x.dim() == 4 else x[:, None])
                case nn.BatchNorm2d():
                    x = module(x)
                case nn.LSTM() | nn.GRU() | nn.RNN():
                    x, _ = module(x if x.dim() == 3 else x.transpose(1, 2).flatten(2))
                case _:
                    x = module(x)
        return x


def gru(reads: int) -> nn.Module:
    return nn.GRU(reads, 5, batch_first=True)


def lstm(reads: int) -> nn.Module:
    return nn.LSTM(reads, 5, batch_first=True)


CHAINS: Final[Mapping[str, tuple[Mapping[str, nn.Module], torch.Tensor]]] = {
    "convolution": (
        {"c": nn.Conv1d(3, 6, 5, padding=2), "bn": nn.BatchNorm1d(6), "r": lstm(6), "fc": nn.Linear(5, 2)},
        torch.randn(2, 7, 3),
    ),
    "groups": (
        {"a": nn.Conv1d(4, 8, 3, padding=1), "b": nn.Conv1d(8, 8, 3, padding=1, groups=4), "r": gru(8)},
        torch.randn(2, 7, 4),
    ),
    "planes": (
        {
            "a": nn.Conv2d(1, 4, 3, padding=1),
            "norm": nn.BatchNorm2d(4),
            "b": nn.Conv2d(4, 6, (3, 5), padding=(1, 2)),
            "r": gru(48),
            "fc": nn.Linear(5, 2),
        },
        torch.randn(2, 7, 8),
    ),
    "table": (
        {"table": nn.Embedding(9, 4), "r": lstm(4), "ln": nn.LayerNorm(5), "out": nn.Linear(5, 9, bias=False)},
        torch.randint(0, 9, (2, 7)),
    ),
}


@pytest.mark.parametrize(("modules", "x"), CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("prefix", ["", "_orig_mod.module.net."])
def test_what_is_proposed_answers_as_torch_does(
    tmp_path: Path, modules: Mapping[str, nn.Module], x: torch.Tensor, prefix: str
) -> None:
    """As it is, of a program that is what is proposed."""
    model = Chain(**modules)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)  # type: ignore[arg-type]
    torch.save({prefix + name: array for name, array in model.state_dict().items()}, tmp_path / "model")
    (tmp_path / "description.yaml").write_text(refusal(tmp_path / "model").proposal)
    spec, weights = (imported := load(tmp_path / "model", description=tmp_path / "description.yaml")).spec, imported.weights
    (found,), _ = reference.run(spec, weights.arrays, (x.numpy(),), [x.shape[1]] * len(x))
    with torch.no_grad():
        np.testing.assert_allclose(found, model.eval()(x).numpy(), rtol=1e-5, atol=2e-6)
