"""Flax, Haiku and MLX by description: what their arrays cannot be is said. That they answer as there: the golden cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.models import importers
from cellserve.models.errors import ImportRefused
from tests.golden.cases import FOLDER

CASES = {
    "flax": ("flax_nnx_gru", ["dense_i.kernel", "dense_i.bias", "dense_h.kernel"]),
    "haiku": ("haiku_gru", ["gru.w_i", "gru.w_h", "gru.b"]),
    "mlx": ("mlx_gru", ["Wx", "Wh", "b", "bhn"]),
}
LSTMS = {
    "flax": ("flax_nnx_lstm", ["dense_i.kernel", "dense_h.kernel", "dense_h.bias"]),
    "haiku": ("haiku_lstm", ["lstm/linear.w", "lstm/linear.b"]),
    "mlx": ("mlx_lstm", ["Wx", "Wh", "bias"]),
}


def load(folder: Path, case: str, layout: str, **layer: Any) -> importers.ImportedModel:
    described = {"inputs": [{"name": "x", "width": 4}], "layout": layout, "layers": [{"units": 5, **layer}]}
    (folder / "description.yaml").write_text(yaml.safe_dump(described))
    made = importers.load(FOLDER / f"{case}.weights.npz", description=folder / "description.yaml")
    assert isinstance(made, importers.ImportedModel)
    return made


def refusal(folder: Path, case: str, layout: str, **layer: Any) -> str:
    with pytest.raises(ImportRefused) as caught:
        load(folder, case, layout, **layer)
    return str(caught.value)


@pytest.mark.parametrize("layout", CASES)
def test_a_gru_that_resets_elsewhere_is_refused(tmp_path: Path, layout: str) -> None:
    case, names = CASES[layout]
    elsewhere = layout == "haiku"
    assert "there a GRU resets " in refusal(tmp_path, case, layout, kind="gru", reset_after=elsewhere, arrays=names)


@pytest.mark.parametrize("layout", LSTMS)
def test_what_their_lstms_do_not_have_is_refused(tmp_path: Path, layout: str) -> None:
    case, names = LSTMS[layout]
    said = "neither peepholes nor a projection"
    assert said in refusal(tmp_path, case, layout, kind="lstm", arrays=names, peepholes=True)
    assert said in refusal(tmp_path, case, layout, kind="lstm", arrays=names, projection_units=3)


@pytest.mark.parametrize("layout", ["flax", "haiku"])
def test_their_lstms_always_have_biases(tmp_path: Path, layout: str) -> None:
    case, names = LSTMS[layout]
    assert "always has biases" in refusal(tmp_path, case, layout, kind="lstm", arrays=names[:-1], use_bias=False)


@pytest.mark.parametrize(("layout", "name"), [("flax", "Flax"), ("haiku", "Haiku"), ("mlx", "MLX")])
def test_a_layer_that_is_not_known_of_them_is_given_as_others_have_it(tmp_path: Path, layout: str, name: str) -> None:
    case, names = LSTMS[layout]
    normalization = {"kind": "layer_normalization", "arrays": names[-1:]}
    layer = {"inputs": [{"name": "x", "width": 4}], "layout": layout, "layers": [normalization]}
    (tmp_path / "description.yaml").write_text(yaml.safe_dump(layer))
    with pytest.raises(ImportRefused, match=f"of {name} no layer_normalization is known"):
        importers.load(FOLDER / f"{case}.weights.npz", description=tmp_path / "description.yaml")
    assert f"of {name} no jzs is known" in refusal(tmp_path, case, layout, kind="jzs", variant=1, arrays=names)
    assert f"{name} has no min_gru layers" in refusal(tmp_path, case, layout, kind="min_gru", arrays=names)


def test_mlx_without_biases(tmp_path: Path) -> None:
    case, names = CASES["mlx"]
    arrays = load(tmp_path, case, "mlx", kind="gru", reset_after=True, use_bias=False, arrays=names[:2]).weights.arrays
    assert sorted(arrays) == ["gru_0.kernel", "gru_0.recurrent_kernel"]


@pytest.mark.parametrize(("layout", "turned"), [("flax", False), ("haiku", False), ("mlx", True)])
def test_matrices_lie_as_in_their_framework(tmp_path: Path, layout: str, turned: bool) -> None:
    matrix, bias = np.arange(20, dtype=np.float32).reshape(4, 5), np.ones(5, np.float32)
    np.savez(tmp_path / "dense.npz", w=matrix.T if turned else matrix, b=bias)
    layers = [{"kind": "dense", "units": 5, "arrays": ["w", "b"]}]
    described = {"inputs": [{"name": "x", "width": 4}], "layout": layout, "layers": layers}
    (tmp_path / "description.yaml").write_text(yaml.safe_dump(described))
    made = importers.load(tmp_path / "dense.npz", description=tmp_path / "description.yaml")
    assert isinstance(made, importers.ImportedModel)
    np.testing.assert_array_equal(made.weights.arrays["dense_0.kernel"], matrix)


@pytest.mark.parametrize(
    ("layout", "names", "said"),
    [
        ("haiku", ["gru.b", "gru.w_h", "gru.w_i"], "where"),
        ("flax", ["dense_i.kernel", "dense_h.kernel", "dense_i.bias"], "where"),
        ("mlx", ["Wx", "Wh", "b", "b"], "its candidate's bias over h is [15] where [5] is expected"),
    ],
)
def test_arrays_in_another_order_are_refused_by_their_shapes(tmp_path: Path, layout: str, names: list[str], said: str) -> None:
    options = {} if layout == "haiku" else {"reset_after": True}
    assert said in refusal(tmp_path, CASES[layout][0], layout, kind="gru", arrays=names, **options)
