"""Arrays that PyTorch computes at each run: what a module answers with them, and what cannot be computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from cellserve.models.network import Network

Change = Callable[[nn.Module], object]


class Scorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, num_layers=2, batch_first=True)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(self.rnn(x)[0][:, -1])
        return scores


def changed(change: Change) -> Scorer:
    """With the change, after a few steps of a training that keeps what the change keeps."""
    torch.manual_seed(0)
    module = Scorer()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    change(module)
    module.train()
    for _ in range(3):
        module(torch.randn(2, 4, 3))
    return module.eval()


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("weight_norm", lambda module: parametrizations.weight_norm(module.rnn, "weight_hh_l0")),
        ("weight_norm", lambda module: parametrizations.weight_norm(module.rnn, "weight_ih_l1", dim=1)),
        ("weight_norm", lambda module: parametrizations.weight_norm(module.fc, dim=None)),
        ("weight_norm", lambda module: weight_norm(module.rnn, "weight_hh_l1")),
        ("weight_norm", lambda module: weight_norm(module.fc, dim=None)),
        ("spectral_norm", lambda module: parametrizations.spectral_norm(module.fc)),
        ("spectral_norm", lambda module: spectral_norm(module.fc)),
        ("pruning", lambda module: prune.l1_unstructured(module.rnn, "weight_hh_l0", amount=0.5)),
        ("pruning", lambda module: prune.l1_unstructured(module.fc, "bias", amount=0.5)),
    ],
)
def test_the_arrays_are_those_that_the_module_computes_with(tmp_path: Path, kind: str, change: Change) -> None:
    module, path = changed(change), tmp_path / "model.pt"
    torch.save(module.state_dict(), path)
    model = load(path)
    assert f"what the file holds for it ({kind}): " in model.notes[0]
    x = torch.randn(2, 6, 3)
    (found,), _ = Network(model.spec, model.weights).run((x.transpose(0, 1).contiguous(),), [6, 6], implementation="2")
    with torch.no_grad():
        np.testing.assert_allclose(found.numpy(), module(x).numpy(), rtol=1e-5, atol=2e-6)


def test_another_parametrization_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(changed(lambda module: parametrizations.orthogonal(module.fc)).state_dict(), path)
    with pytest.raises(ImportRefused, match=r"layer 'fc': its weight is computed by a parametrization .*remove_parametrizations"):
        load(path)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"rnn.weight_hh_l0_g": (5, 1), "rnn.weight_hh_l0_v": (8, 2)}, r"its weight_hh_l0 \(weight_norm\) do not fit"),
        ({"rnn.weight_hh_l0_orig": (8, 2), "rnn.weight_hh_l0_mask": (8, 1)}, r"\(pruning\) do not fit"),
        ({"rnn.weight_hh_l0_orig": (8, 2), "rnn.weight_hh_l0_u": (7,), "rnn.weight_hh_l0_v": (2,)}, "vectors of 7 and 2"),
        ({"rnn.weight_hh_l0_orig": (8, 2), "rnn.weight_hh_l0_u": (8,)}, "one of the three is missing"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, parts: dict[str, tuple[int, ...]], said: str) -> None:
    path = tmp_path / "model.pt"
    torch.save({"rnn.weight_ih_l0": torch.ones(8, 3)} | {name: torch.ones(shape) for name, shape in parts.items()}, path)
    with pytest.raises(ImportRefused, match=said):
        load(path)


def test_a_direction_of_length_0_is_refused_as_what_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    parts = {"rnn.weight_hh_l0_g": torch.ones(8, 1), "rnn.weight_hh_l0_v": torch.zeros(8, 2)}
    torch.save({"rnn.weight_ih_l0": torch.ones(8, 3), **parts}, path)
    with pytest.raises(ImportRefused, match="layer 'rnn_l0': its recurrent_kernel holds 16 values that are NaN"):
        load(path)
