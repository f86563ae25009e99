"""Which networks have an answer to rows of no time steps."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.models.description.empty_rows import answers_empty_rows
from cellserve.models.spec import ModelSpec


def recurrent(source: str, **options: Any) -> dict[str, Any]:
    return {"kind": "gru", "name": f"gru_{source}", "inputs": [source], "units": 2, **options}


CONV = {"kind": "conv1d", "name": "conv", "inputs": ["x"], "units": 2, "kernel_size": 2, "padding": "causal"}
BACK = recurrent("x", return_sequences=True, go_backwards=True)
TURNED = {"kind": "reverse", "name": "turned", "inputs": ["gru_x"]}
MASKING = {"kind": "masking", "name": "masking", "inputs": ["x"]}
REPEAT = {"kind": "repeat_vector", "name": "repeat", "inputs": ["gru_x"], "count": 3}
IGNORING = {"mask_rule": "ignore"}


@pytest.mark.parametrize(
    ("layers", "answers"),
    [
        pytest.param([recurrent("x")], True, id="a recurrent layer"),
        pytest.param([MASKING, recurrent("masking")], True, id="behind masking"),
        pytest.param([BACK, TURNED, recurrent("turned")], True, id="turned round"),
        pytest.param([recurrent("x"), REPEAT, recurrent("repeat", **IGNORING)], True, id="a decoder has steps of its own"),
        pytest.param([recurrent("x", **IGNORING)], False, id="masks ignored"),
        pytest.param([recurrent("x", mask_rule="reset")], False, id="masked steps computed"),
        pytest.param([CONV, recurrent("conv")], False, id="a window"),
    ],
)
def test_a_mask_must_reach_every_recurrent_layer(layers: list[dict[str, Any]], answers: bool) -> None:
    spec = ModelSpec.model_validate({"inputs": [{"name": "x", "width": 2}], "layers": layers, "outputs": [layers[-1]["name"]]})
    assert answers_empty_rows(spec) is answers


def test_only_the_first_input_counts() -> None:
    inputs = [{"name": "x", "width": 2}, {"name": "y", "width": 2}]
    layers = [recurrent("x"), recurrent("y", **IGNORING)]
    spec = ModelSpec.model_validate({"inputs": inputs, "layers": layers, "outputs": ["gru_x", "gru_y"]})
    assert answers_empty_rows(spec)
