"""PyTorch's own modules, asked with the arrays of a state dict: they agree with the import, or would show that it is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import layout, load
from cellserve.models.measuring import parity
from cellserve.models.measuring.framework_parity import against_framework
from cellserve.models.measuring.parity import ParityFailure


def saved(folder: Path, module: nn.Module) -> Path:
    path = folder / "model.pt"
    torch.save(module.state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("modules", "description"),
    [
        ({"rnn": nn.LSTM(3, 4, num_layers=2, bidirectional=True), "fc": nn.Linear(8, 2)}, "head: sequence"),
        ({"rnn": nn.LSTM(3, 6, num_layers=2, proj_size=2, bias=False), "fc": nn.Linear(2, 2)}, "head_activations: [softmax]"),
        (
            {"rnn": nn.GRU(3, 4, bidirectional=True), "a": nn.Linear(8, 3), "b": nn.Linear(3, 2)},
            "head_activations: [tanh, sigmoid]",
        ),
        ({"rnn": nn.RNN(3, 4, nonlinearity="relu"), "fc": nn.Linear(4, 2, bias=False)}, "nonlinearity: relu"),
        ({"emb": nn.Embedding(9, 3), "rnn": nn.GRU(3, 4), "fc": nn.Linear(4, 2)}, "head_activations: [relu]"),
        ({"one": nn.LSTM(3, 4), "two": nn.GRU(4, 5)}, "unit_length: true"),
    ],
)
def test_torch_gives_the_imports_answers(tmp_path: Path, modules: dict[str, nn.Module], description: str) -> None:
    (tmp_path / "description.yaml").write_text(description)
    before = torch.random.get_rng_state()
    model = load(saved(tmp_path, nn.ModuleDict(modules)), description=tmp_path / "description.yaml")
    assert torch.equal(torch.random.get_rng_state(), before)
    agreement = against_framework(parity.check(model.spec, model.weights), model.spec, model.weights, model.answers)
    assert list(agreement.differences) == [f"torch {torch.__version__.partition('+')[0]}, module by module"]
    np.testing.assert_array_equal(agreement.report.golden.outputs[0], model.answers[0].outputs[0])


def test_gates_in_a_wrong_order_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that takes PyTorch's gates to be in Keras's order."""
    right = layout.torch_recurrent
    swap = np.r_[4:8, 0:4, 8:12]
    monkeypatch.setattr(layout, "torch_recurrent", lambda *given: {name: a[..., swap] for name, a in right(*given).items()})
    model = load(saved(tmp_path, nn.GRU(3, 4)))
    report = parity.check(model.spec, model.weights)
    with pytest.raises(ParityFailure, match=r"does not give the framework's own answers: torch .*, module by module"):
        against_framework(report, model.spec, model.weights, model.answers)


def test_layers_that_are_no_module_of_torch(tmp_path: Path) -> None:
    content = nn.GRU(3, 4, num_layers=2).state_dict()
    del content["bias_ih_l1"], content["bias_hh_l1"]
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ImportRefused, match=r"these are not the arrays of one GRU: .*bias_ih_l1"):
        load(tmp_path / "model.pt")
