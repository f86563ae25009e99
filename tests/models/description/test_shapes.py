"""Shapes of tensors and weights, and the sentences that refuse layers which do not fit together."""

from __future__ import annotations

import pytest

from cellserve.models.description.layers.cells import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer, SimpleRnnLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import (
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    RepeatVectorLayer,
    ReverseLayer,
)
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
    PReluLayer,
)
from cellserve.models.description.layers.windowed import Conv1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.description.shapes import expected_weights, infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
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
        ([MergeLayer(name="bad", inputs=("x", "x", "x"), mode="subtract")], r"'bad' \(merge, subtract\) takes two inputs, not 3"),
        ([Conv1dLayer(name="bad", inputs=("v",), units=2, kernel_size=3)], r"'bad' \(conv1d\) takes a sequence"),
        ([Pooling1dLayer(name="bad", inputs=("ids",), mode="max")], r"'bad' \(pooling_1d\) takes features"),
        ([GlobalPooling1dLayer(name="bad", inputs=("v",), mode="max")], r"'bad' \(global_pooling_1d\) takes a sequence"),
        (
            [
                Conv1dLayer(name="conv", inputs=("x",), units=3, kernel_size=3),
                MergeLayer(name="bad", inputs=("x", "conv"), mode="sum"),
            ],
            r"'bad' \(merge\) joins sequences of which one was shortened .* fix the time dimension",
        ),
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
    alone = (RepeatVectorLayer(name="again", inputs=("v",), count=5), LstmLayer(name="lstm", inputs=("again",), units=2))
    assert required_time_steps(ModelSpec(inputs=(VECTOR,), layers=alone, outputs=("lstm",))) == 1


def test_steps_behind_windows() -> None:
    conv = Conv1dLayer(name="conv", inputs=("x",), units=4, kernel_size=3, dilation=2)
    pool = Pooling1dLayer(name="pool", inputs=("conv",), mode="max", padding="same")
    flat = FlattenLayer(name="flat", inputs=("pool",))
    spec = network(conv, pool, flat, time_steps=11)
    shapes = infer_shapes(spec)
    assert shapes["conv"] == TensorShape(True, (4,), 7)
    assert shapes["pool"] == TensorShape(True, (4,), 4)
    assert shapes["flat"] == TensorShape(False, (16,))
    assert required_time_steps(spec) == 11
    open_ended = chain(conv, pool)
    assert infer_shapes(open_ended)["pool"].step_count.steps(11) == 4
    assert (required_time_steps(open_ended), minimum_time_steps(open_ended)) == (None, 5)
    with pytest.raises(InvalidSpec, match=r"'conv' \(conv1d\) needs 5 time steps or more, and is given 4"):
        infer_shapes(network(conv, time_steps=4))


def test_sequences_on_different_clocks_agree_at_one_length_only() -> None:
    conv = Conv1dLayer(name="conv", inputs=("x",), units=3, kernel_size=3)
    pad = Padding1dLayer(name="pad", inputs=("conv",))
    same = Conv1dLayer(name="same", inputs=("x",), units=3, kernel_size=5, padding="same")
    joined = MergeLayer(name="joined", inputs=("x", "pad"), mode="sum")
    assert required_time_steps(network(conv, pad, joined, time_steps=9)) == 9
    assert required_time_steps(network(same, MergeLayer(name="joined", inputs=("x", "same"), mode="sum"))) is None


def test_weights_of_the_old_cells_and_of_windows() -> None:
    layers: list[LayerSpec] = [
        JzsLayer(name="one", inputs=("x",), units=4, variant=1),
        JzsLayer(name="two", inputs=("x",), units=4, variant=2),
        SimpleDeepRnnLayer(name="deep", inputs=("x",), units=4, depth=3),
        Conv1dLayer(name="conv", inputs=("x",), units=5, kernel_size=2, use_bias=False),
        PReluLayer(name="bent", inputs=("x",)),
    ]
    assert expected_weights(network(*layers)) == {
        "one.kernel": (3, 12),
        "one.recurrent_kernel": (4, 8),
        "one.bias": (8,),
        "one.candidate_bias": (4,),
        "two.kernel": (3, 12),
        "two.recurrent_kernel": (4, 12),
        "two.bias": (12,),
        "deep.kernel": (3, 4),
        "deep.recurrent_kernel": (4, 12),
        "deep.bias": (4,),
        "conv.kernel": (2, 3, 5),
        "bent.alpha": (3,),
    }
    assert set(infer_shapes(network(*layers))) >= {"deep:h", "deep:h_2", "deep:h_3", "deep:valid", "deep:valid_2", "deep:valid_3"}
