"""The inputs of the golden pair: fixed, small, and such that the model's own masks and lengths are exercised."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellserve.models.measuring.golden_pair import LENGTHS, golden_inputs
from cellserve.models.spec import ModelSpec


def inputs_of(*layers: dict[str, Any], **entry: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    spec = ModelSpec.model_validate({"inputs": [{"name": "x", **entry}], "layers": list(layers), "outputs": [layers[-1]["name"]]})
    (array,), lengths = golden_inputs(spec)
    return array, lengths


def test_the_same_model_is_always_asked_the_same() -> None:
    layer = {"kind": "gru", "name": "gru", "inputs": ["x"], "units": 2}
    first, lengths = inputs_of(layer, width=3)
    second, _ = inputs_of(layer, width=3)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, max(LENGTHS), 3)
    assert lengths == LENGTHS
    assert len(set(lengths)) == len(lengths)


def test_ids_stay_below_the_vocabulary() -> None:
    array, _ = inputs_of({"kind": "embedding", "name": "e", "inputs": ["x"], "vocabulary": 2, "units": 2}, kind="ids")
    assert set(np.unique(array)) == {0, 1}


def test_a_masking_layer_finds_something_to_mask() -> None:
    masking = {"kind": "masking", "name": "m", "inputs": ["x"], "mask_value": -9.0}
    array, _ = inputs_of(masking, width=2)
    masked = (array == -9.0).all(axis=-1)
    assert masked.any()
    assert not masked.all()


def test_fixed_time_steps_are_respected_where_they_bind() -> None:
    array, lengths = inputs_of({"kind": "flatten", "name": "f", "inputs": ["x"]}, width=2, time_steps=4)
    assert array.shape == (3, 4, 2)
    assert lengths == (4, 4, 4)
    _, free = inputs_of({"kind": "gru", "name": "gru", "inputs": ["x"], "units": 2}, width=2, time_steps=4)
    assert free == LENGTHS
