"""The layers around the recurrence: values against NumPy, and how masks travel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import FlattenLayer, LastStepLayer, RepeatVectorLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
    PReluLayer,
    UnitNormalizationLayer,
)
from cellserve.models.errors import UnknownKind
from cellserve.models.numerics.layers import prepare
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.spec import LayerSpec

STEPS, ROWS, WIDTH = 4, 2, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS, ROWS, WIDTH)).astype(np.float32)
MASK = torch.tensor([[True, False], [True, True], [False, True], [True, True]])


def sequence(lengths: tuple[int, ...] = (4, 4), mask: torch.Tensor | None = None, x: np.ndarray = X) -> Value:
    return Value(torch.tensor(x), RowLengths(lengths, STEPS, torch.device("cpu")), mask)


def vector() -> Value:
    return Value(torch.tensor(X[0]))


def apply(layer: LayerSpec, *values: Value, **arrays: np.ndarray) -> Value:
    return prepare(layer, {name: torch.tensor(array, dtype=torch.float32) for name, array in arrays.items()})(*values)


def test_dense_on_steps_and_on_vectors() -> None:
    kernel, bias = RNG.normal(size=(WIDTH, 5)), RNG.normal(size=5)
    layer = DenseLayer(name="d", inputs=("x",), units=5, activation="relu")
    for given, x in ((sequence(), X), (vector(), X[0])):
        made = apply(layer, given, kernel=kernel, bias=bias)
        np.testing.assert_allclose(made.tensor.numpy(), np.maximum(x @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
        without = apply(layer, given, kernel=kernel)
        np.testing.assert_allclose(without.tensor.numpy(), np.maximum(x @ kernel, 0), rtol=1e-5, atol=1e-6)


def test_embedding_rows_and_the_mask_of_id_zero() -> None:
    table, ids = RNG.normal(size=(5, 2)).astype(np.float32), np.array([[1, 0], [4, 2], [0, 3], [2, 2]])
    layer = EmbeddingLayer(name="e", inputs=("x",), vocabulary=5, units=2, mask_zero=True)
    made = apply(layer, sequence(x=ids, mask=MASK), table=table)
    np.testing.assert_array_equal(made.tensor.numpy(), table[ids])
    assert made.mask is not None
    np.testing.assert_array_equal(made.mask.numpy(), (ids != 0) & MASK.numpy())
    unmasked = apply(layer.model_copy(update={"mask_zero": False}), sequence(x=ids, mask=MASK), table=table)
    assert unmasked.mask is MASK


def test_embedding_never_looks_up_what_stands_beyond_a_row() -> None:
    ids = np.array([[1, 1], [1, 99], [1, 99], [1, -7]])
    layer = EmbeddingLayer(name="e", inputs=("x",), vocabulary=2, units=1)
    made = apply(layer, sequence((4, 1), x=ids), table=np.array([[0.5], [0.25]]))
    assert made.tensor[:, 0].flatten().tolist() == [0.25] * 4
    assert made.tensor[0, 1].item() == 0.25


def test_batch_normalization() -> None:
    mean, variance = RNG.normal(size=WIDTH), RNG.uniform(0.5, 2, WIDTH)
    gamma, beta = RNG.normal(size=WIDTH), RNG.normal(size=WIDTH)
    normal = (X - mean) / np.sqrt(variance + 0.01)
    layer = BatchNormalizationLayer(name="b", inputs=("x",), epsilon=0.01)
    moving = {"moving_mean": mean, "moving_variance": variance}
    whole = apply(layer, sequence(), **moving, gamma=gamma, beta=beta)
    np.testing.assert_allclose(whole.tensor.numpy(), normal * gamma + beta, rtol=1e-5, atol=1e-6)
    bare = apply(layer, sequence(), **moving)
    np.testing.assert_allclose(bare.tensor.numpy(), normal, rtol=1e-5, atol=1e-6)


def test_layer_normalization() -> None:
    gamma, beta = RNG.normal(size=WIDTH), RNG.normal(size=WIDTH)
    normal = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 0.01)
    layer = LayerNormalizationLayer(name="n", inputs=("x",), epsilon=0.01)
    for arrays, expected in (
        ({}, normal),
        ({"gamma": gamma}, normal * gamma),
        ({"beta": beta}, normal + beta),
        ({"gamma": gamma, "beta": beta}, normal * gamma + beta),
    ):
        np.testing.assert_allclose(apply(layer, sequence(), **arrays).tensor.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_unit_normalization_leaves_directions_and_makes_zeros_of_zeros() -> None:
    layer = UnitNormalizationLayer(name="unit", inputs=("x",), epsilon=1e-6)
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1e-7]])
    torch.testing.assert_close(prepare(layer, {})(Value(x)).tensor, torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, 0.1]]))


def test_prelu_and_the_dropout_of_the_first_year() -> None:
    alpha = RNG.normal(size=WIDTH)
    bent = apply(PReluLayer(name="p", inputs=("x",)), sequence(mask=MASK), alpha=alpha)
    np.testing.assert_allclose(bent.tensor.numpy(), np.where(X > 0, X, alpha * X), rtol=1e-6)
    assert bent.mask is MASK
    scaled = apply(DropoutLayer(name="d", inputs=("x",), rate=0.25, scale=0.75), sequence(mask=MASK))
    np.testing.assert_allclose(scaled.tensor.numpy(), 0.75 * X, rtol=1e-6)
    assert scaled.mask is MASK


def test_subtraction_is_of_two() -> None:
    layer = MergeLayer(name="m", inputs=("x", "y"), mode="subtract")
    made = apply(layer, sequence(), sequence(x=3 * X))
    np.testing.assert_allclose(made.tensor.numpy(), -2 * X, rtol=1e-6)


def test_unit_normalization_keeps_directions_and_makes_zeros_of_zeros() -> None:
    layer = UnitNormalizationLayer(name="n", inputs=("x",), epsilon=1e-6)
    given = Value(torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 1e-7]]))
    expected = [[0.6, 0.8], [0.0, 0.0], [0.0, 0.1]]
    np.testing.assert_allclose(apply(layer, given).tensor.numpy(), expected, rtol=1e-6)


def test_masking_needs_every_feature_to_be_the_value_and_zeroes_them() -> None:
    x = X.copy()
    x[1, 0] = 9.0
    x[2, 1, :2] = 9.0
    made = apply(MaskingLayer(name="m", inputs=("x",), mask_value=9.0), sequence(mask=MASK, x=x))
    valid = np.ones((STEPS, ROWS), dtype=bool)
    valid[1, 0] = False
    assert made.mask is not None
    np.testing.assert_array_equal(made.mask.numpy(), valid & MASK.numpy())
    np.testing.assert_array_equal(made.tensor.numpy(), x * valid[..., None])


def test_reverse_and_last_step_at_each_rows_length() -> None:
    turned = apply(ReverseLayer(name="r", inputs=("x",)), sequence((4, 2)))
    np.testing.assert_array_equal(turned.tensor[:, 0].numpy(), X[::-1, 0])
    np.testing.assert_array_equal(turned.tensor[:2, 1].numpy(), X[1::-1, 1])
    last = apply(LastStepLayer(name="l", inputs=("x",)), sequence((4, 2)))
    np.testing.assert_array_equal(last.tensor.numpy(), np.stack([X[3, 0], X[1, 1]]))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("concat", np.concatenate([X, 2 * X, X], axis=-1)),
        ("sum", X + 2 * X + X),
        ("multiply", X * 2 * X * X),
        ("average", (X + 2 * X + X) / 3),
        ("maximum", np.maximum(X, 2 * X)),
        ("minimum", np.minimum(X, 2 * X)),
    ],
)
def test_merges(mode: str, expected: np.ndarray) -> None:
    layer = MergeLayer(name="m", inputs=("x", "y", "z"), mode=mode)
    made = apply(layer, sequence(), sequence(mask=MASK, x=2 * X), sequence())
    np.testing.assert_allclose(made.tensor.numpy(), expected, rtol=1e-6)
    assert made.mask is MASK


def test_a_merge_of_sequences_with_other_lengths_is_refused() -> None:
    layer = MergeLayer(name="m", inputs=("x", "y"), mode="sum")
    with pytest.raises(ValueError, match="'m' \\(merge\\) was given sequences of different lengths"):
        apply(layer, sequence((4, 4)), sequence((4, 3)))


def test_flatten_reads_a_row_step_by_step() -> None:
    flat = FlattenLayer(name="f", inputs=("x",))
    np.testing.assert_array_equal(apply(flat, sequence()).tensor.numpy(), X.transpose(1, 0, 2).reshape(ROWS, -1))
    np.testing.assert_array_equal(apply(flat, vector()).tensor.numpy(), X[0])
    with pytest.raises(ValueError, match="'f' \\(flatten\\) needs every row to have all 4 time steps"):
        apply(flat, sequence((4, 3)))


def test_repeat_vector_starts_rows_of_its_own_length() -> None:
    made = apply(RepeatVectorLayer(name="r", inputs=("x",), count=3), vector())
    np.testing.assert_array_equal(made.tensor.numpy(), np.stack([X[0]] * 3))
    assert made.ends.host == (3, 3)


@pytest.mark.parametrize(
    "layer",
    [
        DropoutLayer(name="l", inputs=("x",), rate=0.5),
        ActivationLayer(name="l", inputs=("x",), activation="linear"),
        ReverseLayer(name="l", inputs=("x",)),
        LayerNormalizationLayer(name="l", inputs=("x",)),
        UnitNormalizationLayer(name="l", inputs=("x",)),
    ],
)
def test_masks_pass_unchanged_through_layers_that_work_step_by_step(layer: LayerSpec) -> None:
    assert apply(layer, sequence(mask=MASK)).mask is MASK


@pytest.mark.parametrize("layer", [LastStepLayer(name="l", inputs=("x",)), FlattenLayer(name="l", inputs=("x",))])
def test_masks_end_with_the_sequence(layer: LayerSpec) -> None:
    assert apply(layer, sequence(mask=MASK)).mask is None


def test_dropout_changes_nothing() -> None:
    np.testing.assert_array_equal(apply(DropoutLayer(name="d", inputs=("x",), rate=0.9), sequence()).tensor.numpy(), X)


def test_recurrent_layers_and_vectors_in_place_of_sequences_are_not_its_business() -> None:
    with pytest.raises(UnknownKind, match="'l' is of kind 'lstm', which the layers around the recurrence"):
        prepare(LstmLayer(name="l", inputs=("x",), units=1), {})
    with pytest.raises(ValueError, match="a vector has no row lengths"):
        apply(ReverseLayer(name="r", inputs=("x",)), vector())
