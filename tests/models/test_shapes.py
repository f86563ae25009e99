"""Shapes of tensors and weights, and the sentences that refuse layers which do not fit together."""

from __future__ import annotations

import pytest

from cellserve.models.errors import InvalidSpec
from cellserve.models.shapes import TensorShape, expected_weights, infer_shapes, required_time_steps
from cellserve.models.spec import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    EmbeddingLayer,
    FlattenLayer,
    GruLayer,
    InputSpec,
    LastStepLayer,
    LayerNormalizationLayer,
    LayerSpec,
    LstmLayer,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    RepeatVectorLayer,
    ReverseLayer,
    SimpleRnnLayer,
)
from tests.models.networks import chain, features

IDS = InputSpec(name="ids", kind="ids", time_steps=9)
VECTOR = InputSpec(name="v", kind="vector", width=4)


def network(*layers: LayerSpec, time_steps: int | None = None) -> ModelSpec:
    inputs = (*features(3, time_steps), IDS, VECTOR)
    return ModelSpec(inputs=inputs, layers=layers, outputs=(layers[-1].name,))


def test_a_chain_with_its_final_states() -> None:
    spec = network(
        EmbeddingLayer(name="embedding", inputs=("ids",), vocabulary=10, units=6),
        LstmLayer(name="lstm", inputs=("embedding",), units=5, projection_units=2, return_sequences=True),
        DenseLayer(name="dense", inputs=("lstm",), units=7),
        GruLayer(name="gru", inputs=("dense",), units=8),
    )
    shapes = infer_shapes(spec)
    assert shapes["x"] == TensorShape(True, (3,), None)
    assert shapes["ids"] == TensorShape(True, (), 9)
    assert shapes["v"] == TensorShape(False, (4,), None)
    assert shapes["embedding"] == TensorShape(True, (6,), 9)
    assert shapes["lstm"] == TensorShape(True, (2,), 9)
    assert shapes["lstm:h"] == TensorShape(False, (2,))
    assert shapes["lstm:c"] == TensorShape(False, (5,))
    assert shapes["dense"] == TensorShape(True, (7,), 9)
    assert shapes["gru"] == shapes["gru:h"] == TensorShape(False, (8,))


def test_flatten_repeat_merge_and_last_step() -> None:
    spec = network(
        ReverseLayer(name="reverse", inputs=("x",)),
        MergeLayer(name="concat", inputs=("x", "reverse"), mode="concat"),
        MergeLayer(name="sum", inputs=("x", "reverse"), mode="sum"),
        FlattenLayer(name="flat", inputs=("concat",)),
        FlattenLayer(name="flat again", inputs=("flat",)),
        RepeatVectorLayer(name="again", inputs=("flat",), count=4),
        LastStepLayer(name="last", inputs=("again",)),
        time_steps=5,
    )
    shapes = infer_shapes(spec)
    assert shapes["concat"] == TensorShape(True, (6,), 5)
    assert shapes["sum"] == TensorShape(True, (3,), 5)
    assert shapes["flat"] == shapes["flat again"] == TensorShape(False, (30,))
    assert shapes["again"] == TensorShape(True, (30,), 4)
    assert shapes["last"] == TensorShape(False, (30,))


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            [LstmLayer(name="bad", inputs=("v",), units=2)],
            r"'bad' \(lstm\) takes a sequence, but its input is a vector \[batch, 4\]",
        ),
        ([GruLayer(name="bad", inputs=("ids",), units=2)], r"'bad' \(gru\) takes features, but its input is ids \[batch, 9\]"),
        (
            [GruLayer(name="bad", inputs=("x", "v"), units=5)],
            r"'bad': its initial state h is \[batch, 5\], but its input is \[batch, 4\]",
        ),
        ([GruLayer(name="bad", inputs=("x", "x"), units=3)], r"'bad': its initial state h is \[batch, 3\]"),
        ([LstmLayer(name="bad", inputs=("x", "v"), units=4)], r"'bad' \(lstm\) takes 2 initial states \(h, c\), not 1"),
        ([EmbeddingLayer(name="bad", inputs=("x",), vocabulary=3, units=2)], r"'bad' \(embedding\) takes ids"),
        ([DenseLayer(name="bad", inputs=("ids",), units=2)], r"'bad' \(dense\) takes features"),
        ([DenseLayer(name="bad", inputs=("x", "x"), units=2)], r"'bad' \(dense\) takes one input, not 2"),
        ([ActivationLayer(name="bad", inputs=("ids",), activation="tanh")], r"'bad' \(activation\) takes features"),
        ([MaskingLayer(name="bad", inputs=("v",))], r"'bad' \(masking\) takes a sequence"),
        ([ReverseLayer(name="bad", inputs=("v",))], r"'bad' \(reverse\) takes a sequence"),
        ([LastStepLayer(name="bad", inputs=("v",))], r"'bad' \(last_step\) takes a sequence"),
        ([FlattenLayer(name="bad", inputs=("x",))], r"'bad' \(flatten\) needs a fixed number of time steps"),
        ([RepeatVectorLayer(name="bad", inputs=("x",), count=2)], r"'bad' \(repeat_vector\) takes a vector"),
        ([MergeLayer(name="bad", inputs=("x",), mode="sum")], r"'bad' \(merge\) takes two inputs or more, not 1"),
        ([MergeLayer(name="bad", inputs=("x", "v"), mode="concat")], r"'bad' \(merge\) cannot merge tensors of different kinds"),
        (
            [
                RepeatVectorLayer(name="four", inputs=("v",), count=4),
                RepeatVectorLayer(name="five", inputs=("v",), count=5),
                MergeLayer(name="bad", inputs=("four", "five"), mode="sum"),
            ],
            r"'bad' \(merge\) cannot merge .* numbers of steps: \[batch, 4, 4\], \[batch, 5, 4\]",
        ),
        (
            [
                DenseLayer(name="wide", inputs=("x",), units=7),
                MergeLayer(name="bad", inputs=("x", "wide"), mode="multiply"),
            ],
            r"'bad' \(merge, multiply\) takes tensors of one shape",
        ),
    ],
)
def test_contradictions_are_refused_naming_the_layer(layers: list[LayerSpec], sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=sentence):
        infer_shapes(network(*layers))


def test_names_and_shapes_of_weights() -> None:
    spec = network(
        LstmLayer(name="lstm", inputs=("x",), units=5, projection_units=2, return_sequences=True),
        GruLayer(name="before", inputs=("lstm",), units=4, return_sequences=True),
        GruLayer(name="after", inputs=("before",), units=4, reset_after=True, return_sequences=True),
        SimpleRnnLayer(name="rnn", inputs=("after",), units=6, use_bias=False, return_sequences=True),
        BatchNormalizationLayer(name="bn", inputs=("rnn",), center=False),
        LayerNormalizationLayer(name="ln", inputs=("bn",), scale=False),
        DenseLayer(name="dense", inputs=("ln",), units=2),
        EmbeddingLayer(name="embedding", inputs=("ids",), vocabulary=10, units=6),
    )
    assert expected_weights(spec) == {
        "lstm.kernel": (3, 20),
        "lstm.recurrent_kernel": (2, 20),
        "lstm.bias": (20,),
        "lstm.projection": (5, 2),
        "before.kernel": (2, 12),
        "before.recurrent_kernel": (4, 12),
        "before.bias": (12,),
        "after.kernel": (4, 12),
        "after.recurrent_kernel": (4, 12),
        "after.bias": (12,),
        "after.recurrent_bias": (12,),
        "rnn.kernel": (4, 6),
        "rnn.recurrent_kernel": (6, 6),
        "bn.gamma": (6,),
        "bn.moving_mean": (6,),
        "bn.moving_variance": (6,),
        "ln.beta": (6,),
        "dense.kernel": (6, 2),
        "dense.bias": (2,),
        "embedding.table": (10, 6),
    }


def test_peepholes_are_vectors_of_three_gates() -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=5, projection_units=2, peepholes=True, projection_clip=1.0)
    weights = expected_weights(network(layer))
    assert [weights[f"lstm.peephole_{gate}"] for gate in "ifo"] == [(5,)] * 3
    with pytest.raises(ValueError, match="'lstm': projection_clip bounds a projection, and there are no projection_units"):
        LstmLayer(name="lstm", inputs=("x",), units=5, projection_clip=1.0)


def test_steps_are_required_only_where_a_layer_needs_them() -> None:
    lstm = LstmLayer(name="lstm", inputs=("x",), units=3, return_sequences=True)
    again = RepeatVectorLayer(name="again", inputs=("v",), count=5)
    flat = FlattenLayer(name="flat", inputs=("lstm",))
    assert required_time_steps(network(lstm, time_steps=5)) is None
    assert required_time_steps(network(lstm, flat, time_steps=5)) == 5
    assert required_time_steps(network(again, FlattenLayer(name="flat", inputs=("again",)))) is None
    dense = DenseLayer(name="dense", inputs=("again",), units=3)
    mixed = MergeLayer(name="mixed", inputs=("x", "dense"), mode="sum")
    assert required_time_steps(network(again, dense, mixed)) == 5
    assert required_time_steps(chain(lstm)) is None
