"""Whose mask each sequence carries, and that only where some number depends on it."""

from __future__ import annotations

import pytest

from cellserve.models.description.layers.cells import GruLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import GlobalPooling1dLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, MaskingLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.description.mask_sources import mask_sources
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.spec import LayerSpec
from tests.models.networks import chain

SEQUENCE = GruLayer(name="g", inputs=("x",), units=3, return_sequences=True)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([SEQUENCE], {"x": "x"}),
        (
            [SEQUENCE, DenseLayer(name="d", inputs=("g",), units=3), GruLayer(name="h", inputs=("d",), units=2)],
            dict.fromkeys("xgd", "x"),
        ),
        ([SEQUENCE.model_copy(update={"mask_rule": "ignore"})], {}),
        ([DenseLayer(name="d", inputs=("x",), units=3)], {}),
        ([MaskingLayer(name="m", inputs=("x",)), GruLayer(name="h", inputs=("m",), units=2)], {"x": "x", "m": "m"}),
        ([ReverseLayer(name="t", inputs=("x",)), GruLayer(name="h", inputs=("t",), units=2)], {"x": "x", "t": "x"}),
        ([Conv1dLayer(name="c", inputs=("x",), units=3, kernel_size=2), GruLayer(name="h", inputs=("c",), units=2)], {}),
        ([GlobalPooling1dLayer(name="p", inputs=("x",), mode="average")], {"x": "x"}),
        ([GlobalPooling1dLayer(name="p", inputs=("x",), mode="max")], {}),
        (
            [
                MaskingLayer(name="m", inputs=("x",)),
                MergeLayer(name="both", inputs=("x", "m"), mode="sum"),
                MergeLayer(name="same", inputs=("both", "both"), mode="sum"),
                GruLayer(name="h", inputs=("same",), units=2),
            ],
            {"x": "x", "m": "m", "both": "both", "same": "both"},
        ),
        (
            [
                MaskingLayer(name="m", inputs=("x",)),
                Conv1dLayer(name="c", inputs=("m",), units=3, kernel_size=1),
                MergeLayer(name="either", inputs=("m", "c"), mode="sum", counts_where="any"),
                GruLayer(name="h", inputs=("either",), units=2),
            ],
            {},
        ),
        (
            [
                MaskingLayer(name="m", inputs=("x",)),
                MergeLayer(name="product", inputs=("x", "m"), mode="multiply", counts_where="any"),
            ],
            {"x": "x", "m": "m"},
        ),
    ],
    ids=[
        *("recurrent", "travels", "ignored", "unheeded", "made", "turned", "window", "average", "largest", "merged"),
        *("with one that always counts", "of its values"),
    ],
)
def test_sources(layers: list[LayerSpec], expected: dict[str, str]) -> None:
    spec = chain(*layers)
    assert mask_sources(spec, infer_shapes(spec)) == expected
