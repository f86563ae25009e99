"""Descriptions of step models: what fits together, where states lie in a row, and that no number is lost there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cellserve.models.description.described import obstacle_of, parameters_of, shapes_of
from cellserve.models.description.state_layout import StateLayout, as_columns, from_columns
from cellserve.models.description.step_model import StepModel

VOICE: dict[str, Any] = {
    "inputs": [{"name": "x", "axes": ["batch", 4]}],
    "states": [{"name": "h", "axes": [2, "batch", 3], "output": "hn"}],
    "answers": [{"name": "y", "axes": ["batch", 1]}],
    "batched": True,
    "parameters": 12,
}


def voice(**changes: Any) -> StepModel:
    return StepModel.model_validate(VOICE | changes)


def test_what_requests_know_of_it() -> None:
    model = voice()
    assert StepModel.model_validate_json(model.model_dump_json()) == model
    assert {name: str(shape) for name, shape in shapes_of(model).items()} == {"x": "[batch, time, 4]", "y": "[batch, time, 1]"}
    assert obstacle_of(model) is None
    assert parameters_of(model).total() == 12


def test_states_lie_in_order_with_the_context_last() -> None:
    model = voice(
        inputs=[{"name": "x", "axes": ["batch", 2, 4], "context": 3, "context_axis": 2}],
        states=[
            {"name": "h", "axes": [2, "batch", 3], "output": "hn", "initial": 0.5},
            {"name": "seen", "axes": ["batch"], "dtype": "int64", "output": "seen_out", "initial": 70_000},
        ],
    )
    layout = StateLayout.of(model)
    assert [(columns.key, columns.width, columns.public) for columns in layout.columns] == [
        ("0.h", 6, True),
        ("1.seen_", 4, True),  # not the column of masks
        ("2.x.context", 6, True),
    ]
    np.testing.assert_array_equal(layout.first_rows(2), [[0.5] * 6 + [70_000 & 0xFFFF, 1, 0, 0] + [0] * 6] * 2)
    assert StateLayout.of(voice()).start is None


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_no_number_of_any_type_is_lost_in_a_row(dtype: str) -> None:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = np.array([[0, -0.5, np.finfo(kind).max, np.finfo(kind).tiny]], kind)
    elif kind.kind == "b":
        values = np.array([[True, False, True, True]])
    else:
        values = np.array([[0, 1, np.iinfo(kind).min, np.iinfo(kind).max]], kind)
    columns = as_columns(values)
    assert columns.dtype == np.float32
    assert np.isfinite(columns).all()
    found = from_columns(columns, kind)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, values)


def test_columns_that_are_no_number_of_the_type_are_cut_off() -> None:
    np.testing.assert_array_equal(from_columns(np.float32([[1e9, -1e9, 2.4]]), np.dtype("int8")), [[127, -128, 2]])
    assert from_columns(np.float32([[1e9, -5, 0, 0]]), np.dtype("int64")) == 65535


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"states": [{"name": "x", "axes": [1], "output": "hn"}]}, "named twice"),
        ({"states": [{"name": "h", "axes": [1], "output": "y"}]}, "named twice"),
        ({"inputs": [{"name": "x", "axes": ["batch", "batch"]}]}, "two axes of one meaning"),
        ({"inputs": [{"name": "x", "axes": ["batch", "time"]}]}, "at how many steps is not said"),
        ({"inputs": [{"name": "x", "axes": [4], "kind": "vector"}]}, "nothing is fed"),
        ({"states": [{"name": "h", "axes": [3], "output": "hn", "initial": [1, 2]}]}, "3 numbers, and 2 are given"),
        (
            {
                "inputs": [{"name": "x", "axes": ["batch", "time"]}, {"name": "z", "axes": ["batch", 4]}],
                "tried_steps": [4],
            },
            "contradict each other",
        ),
    ],
)
def test_descriptions_that_contradict_themselves(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        voice(**changes)
