"""Slices and operations between layers: what is understood, and that nothing else passes for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from tests.models.importers.keras_files import functional, layer, lstm, lstm_arrays, node, write_h5

WHOLE = {"start": None, "stop": None, "step": None}
DOTS = {"class_name": "__ellipsis__", "config": {}}


def kinds(folder: Path, function: str, steps: int | None = None, masked: bool = False, **keywords: Any) -> list[str]:
    """Of the layers behind an LSTM that an operation becomes."""
    class_name = "SlicingOpLambda" if "slice_spec" in keywords else "TFOpLambda"
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, steps, 2])),
        *([node(layer("Masking", "mask", mask_value=0.0), "x")] if masked else []),
        node(lstm(return_sequences=True), "mask" if masked else "x"),
        node(layer(class_name, "op", function=function), "lstm_1", **keywords),
    ]
    path = write_h5(folder / "model.h5", functional(layers, ["x"], [("op", 0)]), {"lstm_1": lstm_arrays()}, version="2.15.0")
    return [one.kind for one in load(path).spec.layers if one.name not in ("mask", "lstm_1")]


def span(start: int | None, stop: int | None, step: int | None = None) -> dict[str, int | None]:
    return {"start": start, "stop": stop, "step": step}


@pytest.mark.parametrize(
    ("steps", "places", "expected"),
    [
        (None, [WHOLE, -1], ["last_step"]),
        (None, [WHOLE, -1, WHOLE], ["last_step"]),
        (None, [WHOLE, -3], ["cropping_1d", "last_step"]),
        (None, [WHOLE, 0], ["reverse", "last_step"]),
        (None, [WHOLE, 2], ["cropping_1d", "reverse", "last_step"]),
        (None, [WHOLE, span(1, -1)], ["cropping_1d"]),
        (None, [WHOLE, span(None, None, 2)], ["pooling_1d"]),
        (None, [WHOLE, span(None, None, -1)], ["reverse"]),
        (6, [WHOLE, span(None, 4)], ["cropping_1d"]),
        (6, [WHOLE, span(-2, None)], ["cropping_1d"]),
        (None, [DOTS, span(None, 2)], ["dense"]),
        (None, [WHOLE, WHOLE, span(1, None)], ["dense"]),
        (None, [WHOLE, WHOLE, span(None, None, 2)], ["dense"]),
        (None, [WHOLE, -1, span(1, None)], ["dense", "last_step"]),
        (None, [DOTS, span(1, None), span(1, None)], ["dense", "cropping_1d"]),
    ],
)
def test_steps_that_a_slice_takes(tmp_path: Path, steps: int | None, places: list[Any], expected: list[str]) -> None:
    assert kinds(tmp_path, "__operators__.getitem", steps, slice_spec=places) == expected


@pytest.mark.parametrize(
    ("start", "stop", "step"),
    [
        (None, None, 2),
        (1, -1, 3),
        (None, None, -1),
        (-1, None, -1),
        (-2, 0, -2),
        (4, 1, -1),
        (0, None, -1),
        (None, -3, -1),
        (2, 5, 2),
    ],
)
def test_the_steps_of_a_slice_are_those_that_python_takes(tmp_path: Path, start: int | None, stop: int | None, step: int) -> None:
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, 7, 2])),
        node(layer("SlicingOpLambda", "op", function="__operators__.getitem"), "x", slice_spec=[WHOLE, span(start, stop, step)]),
        node(lstm(return_sequences=True), "op"),
    ]
    path = write_h5(tmp_path / "m.h5", functional(layers, ["x"], [("op", 0), ("lstm_1", 0)]), {"lstm_1": lstm_arrays()})
    model = load(path)
    fed = np.arange(14.0).reshape(1, 7, 2)
    (found, _), _ = reference.run(model.spec, model.weights.arrays, [fed], [7])
    assert found.tolist() == fed[:, start:stop:step].tolist()


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([WHOLE, None], "this slice is not supported"),
        ([DOTS, span(3, None)], "of 3 features it takes"),
        ([DOTS, span(None, None, -1)], "turned round"),
        ([DOTS, 0], "this slice is not supported"),
        ([WHOLE, -1, 0], "this slice is not supported"),
        ([span(0, 1), -1], "this slice is not supported"),
        ([WHOLE, span(0, None, -1)], "the first steps of sequences of any length"),
        ([WHOLE, span(None, -2, -1)], "the last steps of sequences of any length"),
        ([WHOLE, span(None, -1, -1)], "takes no steps"),
        ([WHOLE, span(None, 4)], "the first steps of sequences of any length"),
        ([WHOLE, span(-2, None)], "the last steps of sequences of any length"),
    ],
)
def test_slices_that_are_something_else(tmp_path: Path, places: list[Any], said: str) -> None:
    with pytest.raises(ImportRefused, match=f"layer 'op': .*{said}"):
        kinds(tmp_path, "__operators__.getitem", slice_spec=places)


@pytest.mark.parametrize(
    ("function", "keywords", "said"),
    [
        ("math.multiply", {"y": [[1.0], [2.0], [3.0]]}, r"a constant of the shape \[3, 1\]"),
        ("math.multiply", {"y": [1.0, 2.0]}, "its constants are of 2 and 1 numbers, and its input has 3 features"),
        ("math.maximum", {"y": 1.0}, r"but for max\(x, 0\)"),
        ("math.reduce_mean", {"axis": -1}, r"over the time axis alone"),
        ("linalg.matmul", {"b": 1.0}, "this operation of TensorFlow"),
    ],
)
def test_operations_that_are_something_else(tmp_path: Path, function: str, keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        kinds(tmp_path, function, **keywords)


def test_an_operation_forgets_masks_and_so_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="forgets the mask of its input"):
        kinds(tmp_path, "math.tanh", masked=True)
    assert kinds(tmp_path, "__operators__.getitem", masked=True, slice_spec=[WHOLE, -1]) == ["last_step"]
