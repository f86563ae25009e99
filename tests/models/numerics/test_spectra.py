"""Bands around those of a step, and magnitudes, against torch's own of a step after the other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cellserve.models.description.layers.spectral import BandPaddingLayer, MagnitudeLayer
from cellserve.models.description.step_counts import Fill
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec
from cellserve.models.numerics.layers import prepare
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value

X = torch.randn(5, 2, 4, 3, generator=torch.Generator().manual_seed(0))  # [T, B, bands, channels]


@pytest.mark.parametrize(("fill", "mode"), [("zeros", "constant"), ("reflect", "reflect"), ("edge", "replicate")])
def test_bands_around_those_of_each_step(fill: Fill, mode: str) -> None:
    pad = prepare(BandPaddingLayer(name="pad", inputs=("x",), before=3, after=1, fill=fill), {})
    expected = F.pad(X.flatten(0, 1).transpose(1, 2), (3, 1), mode=mode).transpose(1, 2).unflatten(0, (5, 2))
    rows = RowLengths([5, 4], 5, torch.device("cpu"))
    made = pad(Value(X, rows))
    assert made.lengths is rows
    torch.testing.assert_close(made.tensor, expected)
    torch.testing.assert_close(pad(Value(X[0])).tensor, expected[0])


def test_how_large_complex_numbers_are() -> None:
    x = torch.tensor([[3.0, 0.0, -4.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    for options, expected in (
        ({}, [[5.0, 0.0], [1.0, 0.0]]),
        ({"power": 2}, [[25.0, 0.0], [1.0, 0.0]]),
        ({"epsilon": 0.25}, [[25.25**0.5, 0.5], [1.25**0.5, 0.5]]),
    ):
        layer = MagnitudeLayer.model_validate({"name": "m", "inputs": ("x",), **options})
        torch.testing.assert_close(prepare(layer, {})(Value(x)).tensor, torch.tensor(expected))


def test_what_does_not_fit_is_refused() -> None:
    step = TensorShape(True, (4, 3))
    with pytest.raises(InvalidSpec, match="mirrors 4 bands beside the outermost, and its input is"):
        BandPaddingLayer(name="pad", inputs=("x",), before=4, fill="reflect").output_shape((step,))
    with pytest.raises(InvalidSpec, match=r"takes \[batch, time, bands, channels\]"):
        BandPaddingLayer(name="pad", inputs=("x",), before=1).output_shape((TensorShape(True, (4,)),))
    with pytest.raises(InvalidSpec, match="takes as many real as imaginary parts"):
        MagnitudeLayer(name="m", inputs=("x",)).output_shape((step,))
