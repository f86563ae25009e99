"""Convolution and pooling over time: known numbers, torch's own operators row by row, and rows that do not see each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.rows import GlobalPooling1dLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.description.step_counts import Fill
from cellserve.models.numerics.layers import prepare
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.spec import LayerSpec

CPU = torch.device("cpu")
STEPS, WIDTH = 9, 3
LENGTHS = (9, 4, 7)
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(STEPS, len(LENGTHS), WIDTH, generator=GENERATOR)


def given(mask: Tensor | None = None) -> Value:
    """Ragged, with NaN wherever no step is."""
    ends = RowLengths(LENGTHS, STEPS, CPU)
    return Value(torch.where(ends.inside.unsqueeze(2), X, torch.full_like(X, torch.nan)), ends, mask)


def conv(**options: Any) -> Conv1dLayer:
    return Conv1dLayer.model_validate({"name": "conv", "inputs": ("x",), "units": 4, "kernel_size": 3, **options})


def pool(**options: Any) -> Pooling1dLayer:
    return Pooling1dLayer.model_validate({"name": "pool", "inputs": ("x",), "mode": "max", **options})


def assert_rows(made: Value, expected: list[Tensor]) -> None:  # each [T, F]
    assert made.ends.host == tuple(len(row) for row in expected)
    assert made.mask is None
    for place, row in enumerate(expected):
        np.testing.assert_allclose(made.tensor[: len(row), place].numpy(), row.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "around"),
    [
        ({}, lambda steps: (0, 0)),
        ({"strides": 2}, lambda steps: (0, 0)),
        ({"dilation": 2, "kernel_size": 2}, lambda steps: (0, 0)),
        ({"padding": "same"}, lambda steps: (1, 1)),
        ({"padding": "same", "kernel_size": 4}, lambda steps: (1, 2)),
        ({"padding": "same", "strides": 2}, lambda steps: (1, 1) if steps % 2 else (0, 1)),
        ({"padding": "same", "strides": 3, "kernel_size": 2}, lambda steps: (0, 1) if steps % 3 == 1 else (0, 0)),
        ({"padding": "causal", "dilation": 2}, lambda steps: (4, 0)),
        ({"padding": "causal", "strides": 2}, lambda steps: (2, 0)),
    ],
)
def test_a_convolution_is_torchs_on_each_row_with_its_own_zeros(options: dict[str, Any], around: Any) -> None:
    layer = conv(**options)
    kernel, bias = torch.randn(layer.kernel_size, WIDTH, 4, generator=GENERATOR), torch.randn(4, generator=GENERATOR)
    expected = [
        F.conv1d(
            F.pad(X[:steps, row].T.unsqueeze(0), around(steps)),
            kernel.permute(2, 1, 0),
            bias,
            stride=layer.strides,
            dilation=layer.dilation,
        )[0].T
        for row, steps in enumerate(LENGTHS)
    ]
    assert_rows(prepare(layer, {"kernel": kernel, "bias": bias})(given()), expected)


def test_activation_and_no_bias() -> None:
    layer, kernel = conv(activation="relu", use_bias=False), torch.randn(3, WIDTH, 4, generator=GENERATOR)
    made = prepare(layer, {"kernel": kernel})(given())
    expected = F.conv1d(X[:, :1].permute(1, 2, 0), kernel.permute(2, 1, 0)).relu()[0].T
    np.testing.assert_allclose(made.tensor[:7, 0].numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mode": "max"}, [3.0, 4.0]),
        ({"mode": "average"}, [2.0, 3.0]),
        ({"mode": "max", "padding": "same"}, [3.0, 4.0, 0.0]),
        ({"mode": "average", "padding": "same"}, [2.0, 3.0, 0.0]),
        ({"mode": "max", "pool_size": 3, "strides": 1}, [3.0, 4.0, 4.0]),
        ({"mode": "average", "pool_size": 3, "strides": 1, "padding": "same"}, [2.0, 2.0, 3.0, 2.0, 2.0]),
        ({"mode": "max", "pool_size": 3, "strides": 2, "padding": "same"}, [3.0, 4.0, 4.0]),
        ({"mode": "average", "pool_size": 4, "strides": 3, "padding": "same"}, [2.0, 2.0]),
    ],
)
def test_pooling_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    """Of 1 3 2 4 0: what padding adds counts neither in a maximum nor in an average."""
    x = Value(torch.tensor([1.0, 3.0, 2.0, 4.0, 0.0]).reshape(5, 1, 1), RowLengths([5], 5, CPU))
    made = prepare(pool(**options), {})(x)
    np.testing.assert_allclose(made.tensor.flatten().numpy(), expected, rtol=1e-6)


def test_pooling_of_negative_values_never_sees_a_zero() -> None:
    x = Value(-torch.ones(3, 1, 1), RowLengths([3], 3, CPU))
    assert prepare(pool(pool_size=2, padding="same"), {})(x).tensor.flatten().tolist() == [-1.0, -1.0]


def test_zeros_around_each_row() -> None:
    made = prepare(Padding1dLayer(name="pad", inputs=("x",), before=2, after=1), {})(given())
    assert_rows(made, [F.pad(X[:steps, row], (0, 0, 2, 1)) for row, steps in enumerate(LENGTHS)])


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("edge", "replicate")])
def test_each_row_is_mirrored_and_prolonged_at_its_own_end(fill: Fill, mode: str) -> None:
    made = prepare(Padding1dLayer(name="pad", inputs=("x",), before=2, after=1, fill=fill), {})(given())
    assert_rows(made, [F.pad(X[:steps, row].T, (2, 1), mode=mode).T for row, steps in enumerate(LENGTHS)])


def test_a_row_that_is_shorter_than_what_is_mirrored_is_refused() -> None:
    pad = prepare(Padding1dLayer(name="pad", inputs=("x",), before=2, after=3, fill="reflect"), {})
    with pytest.raises(ValueError, match="needs rows of 4 time steps or more; one has 3"):
        pad(Value(torch.ones(3, 1, 1), RowLengths([3], 3, CPU)))


def test_pooling_over_all_steps_of_each_row() -> None:
    mask = torch.rand(STEPS, len(LENGTHS), generator=GENERATOR) < 0.6
    mask[:, 1] = False
    largest = prepare(GlobalPooling1dLayer(name="g", inputs=("x",), mode="max"), {})(given(mask)).tensor
    mean = prepare(GlobalPooling1dLayer(name="g", inputs=("x",), mode="average"), {})
    for row, steps in enumerate(LENGTHS):
        np.testing.assert_allclose(largest[row].numpy(), X[:steps, row].amax(0).numpy())
        np.testing.assert_allclose(mean(given()).tensor[row].numpy(), X[:steps, row].mean(0).numpy(), rtol=1e-5, atol=1e-6)
    masked = mean(given(mask)).tensor
    np.testing.assert_allclose(masked[0].numpy(), X[mask[:, 0], 0].mean(0).numpy(), rtol=1e-5, atol=1e-6)
    assert masked[1].isnan().all()  # the frameworks divide by nothing, too


@pytest.mark.parametrize("layer", [conv(kernel_size=5), pool(pool_size=5)])
def test_a_row_too_short_is_named(layer: LayerSpec) -> None:
    weights = {"kernel": torch.zeros(5, WIDTH, 4), "bias": torch.zeros(4)}
    with pytest.raises(ValueError, match=f"'{layer.name}' needs rows of 5 time steps or more; one has 4"):
        prepare(layer, weights)(given())
