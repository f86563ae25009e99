"""PyTorch files that are more than arrays are refused by what they are, and nobody is advised to switch a guard off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load

CASES = Path(__file__).parents[1] / "files"


def refusal(path: Path) -> str:
    with pytest.raises(ImportRefused) as caught:
        load(path)
    said = str(caught.value)
    assert "weights_only" not in said
    assert "damaged" not in said
    return said


def test_quantized_weights_are_called_so() -> None:
    assert "it holds quantized weights, packed by torch's own kernels (torch.ScriptObject)" in refusal(CASES / "quantized.pt")


def test_a_whole_module_is_named_by_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save(nn.Sequential(nn.Linear(2, 3)), path)
    said = refusal(path)
    assert "this is a whole pickled module (torch.nn.modules." in said
    assert "torch.save(model.state_dict(), path)" in said


def test_a_damaged_archive_is_still_called_damaged(tmp_path: Path) -> None:
    path = shutil.copy(CASES / "quantized.pt", tmp_path / "model.pt")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        load(path)
