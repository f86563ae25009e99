"""What a note says of other precisions: how far their answers lie from those that are served."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cellserve.models import reference
from cellserve.models.importers import load
from cellserve.models.importers.precision import declared, foreign
from cellserve.models.measuring.golden_pair import golden_inputs
from tests.models.importers.keras_files import lstm_arrays, one_lstm, write_h5

SIZE = re.compile(r"what is computed in (\w+) lies (about|up to) (\d\.?\d*e[-+]\d+) from that")


def said(notes: tuple[str, ...]) -> tuple[str, str, float]:
    (found,) = [match for note in notes if (match := SIZE.search(note))]
    return found[1], found[2], float(found[3])


def test_the_narrowest_counts() -> None:
    assert foreign({"float32", "int32"}) is None
    assert foreign({"float32", "float64"}) == "float64"
    assert foreign({"float64", "float16"}) == "float16"
    assert foreign({"mixed_bfloat16", "float32"}) == "bfloat16"


def test_policies_are_found_wherever_a_configuration_names_them() -> None:
    policy = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    model = {"config": {"layers": [{"config": {"dtype": "float32", "cells": [{"config": {"dtype": policy}}]}}, {"dtype": None}]}}
    assert declared(model) == {"float32", "mixed_float16"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("module", [nn.LSTM(6, 32, num_layers=2), nn.GRU(6, 32), nn.RNN(6, 32)])
def test_of_a_state_dict_torch_itself_is_asked(tmp_path: Path, dtype: torch.dtype, module: nn.RNNBase) -> None:
    path = tmp_path / "half.safetensors"
    half = type(module)(6, 32, num_layers=module.num_layers, batch_first=True)
    half.load_state_dict(module.state_dict())
    save_file(half.to(dtype).state_dict(), path)
    model = load(path)
    (inputs,), lengths = golden_inputs(model.spec)
    (exact,), _ = reference.run(model.spec, model.weights.arrays, (inputs,), lengths)
    own = half(torch.from_numpy(inputs[:1, : lengths[0]]).to(dtype))[0].detach().float().numpy()
    name, nearly, size = said(model.notes)
    assert (name, nearly) == (str(dtype).removeprefix("torch."), "up to")
    apart = np.abs(own - exact[:1, : lengths[0]]).max()
    assert 0.5 * apart < size < 10 * apart


def test_double_precision(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.LSTM(3, 4).double().state_dict(), path)
    name, _, size = said(load(path).notes)
    assert name == "float64"
    assert 0 < size < 1e-6
    torch.save(nn.LSTM(3, 4).state_dict(), path)
    assert not any(SIZE.search(note) for note in load(path).notes)


@pytest.mark.parametrize("policy", ["float16", "mixed_bfloat16", {"class_name": "Policy", "config": {"name": "mixed_float16"}}])
def test_of_a_keras_file_the_oracle_is_asked(tmp_path: Path, policy: Any) -> None:
    path = tmp_path / "model.h5"
    write_h5(path, one_lstm(dtype=policy), {"lstm_1": lstm_arrays()})
    name, nearly, size = said(load(path).notes)
    assert (name, nearly) == ("bfloat16" if policy == "mixed_bfloat16" else "float16", "about")
    assert 1e-5 < size < 1e-1


def test_of_arrays_in_half_precision(tmp_path: Path) -> None:
    path, description = tmp_path / "arrays.npz", tmp_path / "description.yaml"
    description.write_text("inputs: [{name: x, width: 2}]\nlayout: keras\nlayers: [{kind: lstm, units: 3}]")
    np.savez(path, *(array.astype(np.float16) for array in lstm_arrays()))
    assert said(load(path, description=description).notes)[0] == "float16"


def test_values_that_the_other_precision_cannot_hold(tmp_path: Path) -> None:
    path, description = tmp_path / "arrays.npz", tmp_path / "description.yaml"
    description.write_text(
        "inputs: [{name: x, width: 2}]\nlayout: keras\nlayers: [{kind: simple_rnn, units: 1, activation: relu}]"
    )
    np.savez(path, *(np.full(shape, 6e4, np.float16) for shape in ((2, 1), (1, 1), (1,))))
    assert "What is computed in float16 leaves its range" in load(path, description=description).notes[-1]
