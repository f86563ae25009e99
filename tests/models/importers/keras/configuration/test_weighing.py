"""Attention that a program writes itself: what is understood of it, and that nothing else passes for it.

Its numbers are those of the golden cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from tests.models.importers.keras_files import Layer, functional, layer, lstm, lstm_arrays, node, write_h5

STATES = {"return_sequences": True, "return_state": True}
STEPS, LAST = ("lstm_1", 0), ("lstm_1", 1)


def kinds(folder: Path, *behind: Layer, masked: bool = False) -> list[str]:
    """Of the layers behind an LSTM that gives its steps and its last state; the last of them is the output."""
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])),
        *([node(layer("Masking", "mask", mask_value=0.0), "x")] if masked else []),
        node(lstm(**STATES), "mask" if masked else "x"),
        node(layer("Dense", "score", units=1), STEPS),
        node(layer("Dense", "scores", units=3), STEPS),
        *behind,
    ]
    arrays = {"lstm_1": lstm_arrays()} | {
        name: [np.ones((3, units), np.float32), np.ones(units, np.float32)] for name, units in (("score", 1), ("scores", 3))
    }
    model = functional(layers, ["x"], [(behind[-1]["name"], 0), ("scores", 0), ("score", 0)])
    path = write_h5(folder / "model.h5", model, arrays, version="2.15.0")
    return [one.kind for one in load(path).spec.layers if one.name not in ("mask", "lstm_1", "score", "scores")]


def dot(name: str, one: Any, other: Any, axes: Any, **options: Any) -> Layer:
    return node(layer("Dot", name, axes=axes, **options), one, other)


def softmax(name: str, source: Any, axis: int = -1) -> Layer:
    return node(layer("Softmax", name, axis=axis), source)


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (
            [dot("d", STEPS, STEPS, 2), node(layer("Activation", "s", activation="softmax"), "d"), dot("e", "s", STEPS, [2, 1])],
            ["attention"],
        ),
        ([dot("d", STEPS, STEPS, -1), softmax("s", "d", 2), dot("e", "s", STEPS, (-1, -2))], ["attention"]),
        ([softmax("s", "score", 1), dot("e", "s", STEPS, 1)], ["merge", "attention_pooling_1d", "unflatten"]),
        ([softmax("s", "scores", -2), dot("e", "s", STEPS, 1)], ["merge", "attention_pooling_1d", "unflatten"]),
        (
            [dot("d", LAST, STEPS, [1, 2]), softmax("s", "d"), dot("e", "s", STEPS, 1)],
            ["repeat_vector", "merge", "dense", "merge", "attention_pooling_1d"],
        ),
        ([dot("d", LAST, LAST, 1)], ["merge", "dense"]),
        ([dot("d", LAST, LAST, -1, normalize=True)], ["unit_normalization", "unit_normalization", "merge", "dense"]),
    ],
)
def test_what_is_understood(tmp_path: Path, behind: list[Layer], expected: list[str]) -> None:
    assert kinds(tmp_path, *behind) == expected


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ([dot("d", STEPS, STEPS, 2)], "the model's output is scores of attention"),
        ([dot("d", STEPS, STEPS, 2), softmax("s", "d", 1)], "layer 's': it reads the scores of attention"),
        ([softmax("s", "score", 1), node(layer("Dense", "e", units=2), "s")], "layer 'e': it reads the scores of attention"),
        ([softmax("s", "score", 1), node(layer("Add", "e"), "s", STEPS)], "layer 'e': it reads the scores of attention"),
        ([softmax("s", "scores", 1), node(layer("Multiply", "e"), "s", STEPS)], "layer 'e': it weighs each feature of the steps"),
        ([dot("d", STEPS, STEPS, 2), dot("e", "d", STEPS, [2, 1])], "layer 'e': option 'axes': this Dot is not supported"),
        ([dot("d", STEPS, STEPS, 1)], "layer 'd': option 'axes': this Dot is not supported"),
        ([softmax("s", "scores", 1), dot("e", STEPS, "s", 1)], "layer 'e': option 'axes': this Dot is not supported"),
        ([dot("d", STEPS, STEPS, 2, normalize=True)], "layer 'd': option 'normalize': Dot of normalized sequences"),
    ],
)
def test_what_is_refused(tmp_path: Path, behind: list[Layer], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        kinds(tmp_path, *behind)


@pytest.mark.parametrize("behind", [[dot("d", STEPS, STEPS, 2)], [softmax("s", "score", 1)], [dot("d", STEPS, LAST, [2, 1])]])
def test_attention_to_masked_sequences_is_refused(tmp_path: Path, behind: list[Layer]) -> None:
    with pytest.raises(ImportRefused, match="in an attention to masked sequences is not supported"):
        kinds(tmp_path, *behind, masked=True)
