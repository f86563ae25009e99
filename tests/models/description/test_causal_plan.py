"""Which networks are causal, and what is body and head in those that are."""

from __future__ import annotations

import pytest

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.layers.cells import GruLayer, LstmLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import (
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    RepeatVectorLayer,
    ReverseLayer,
)
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Cropping1dLayer, Padding1dLayer
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from tests.models.networks import chain, features


def names(layers: tuple[LayerSpec, ...]) -> list[str]:
    return [layer.name for layer in layers]


def test_the_head_is_what_follows_the_rows_end() -> None:
    split = causal_plan(
        chain(
            LstmLayer(name="one", inputs=("x",), units=2, return_sequences=True),
            DenseLayer(name="steps", inputs=("one",), units=2),
            LstmLayer(name="two", inputs=("steps",), units=2, return_sequences=True),
            LastStepLayer(name="last", inputs=("two",)),
            MergeLayer(name="merge", inputs=("last", "one:c"), mode="concat"),
            DenseLayer(name="answer", inputs=("merge",), units=2),
            outputs=("answer", "two"),
        )
    )
    assert split.causal
    assert names(split.body) == ["one", "steps", "two", "last"]
    assert names(split.head) == ["merge", "answer"]
    assert set(split.carried) == {"last", "one:c", "two"}


def test_head_layers_that_no_output_needs_are_left_out_but_their_recurrence_is_not() -> None:
    split = causal_plan(
        chain(
            LstmLayer(name="lstm", inputs=("x",), units=2),
            DenseLayer(name="unused", inputs=("lstm",), units=2),
            DenseLayer(name="answer", inputs=("lstm",), units=2),
        )
    )
    assert names(split.body) == ["lstm"]
    assert names(split.head) == ["answer"]


@pytest.mark.parametrize(
    ("layers", "obstacle"),
    [
        ([GruLayer(name="rnn", inputs=("x",), units=2, go_backwards=True)], "layer 'rnn' runs backwards"),
        ([ReverseLayer(name="turn", inputs=("x",))], "layer 'turn' turns the sequence round"),
        ([FlattenLayer(name="flat", inputs=("x",))], "layer 'flat' needs all time steps at once"),
        ([GlobalPooling1dLayer(name="all", inputs=("x",), mode="max")], "layer 'all' needs all time steps at once"),
        ([Conv1dLayer(name="conv", inputs=("x",), units=2, kernel_size=3)], "layer 'conv' sees several time steps at once"),
        ([Padding1dLayer(name="pad", inputs=("x",))], "layer 'pad' puts time steps around the row"),
        ([Cropping1dLayer(name="crop", inputs=("x",))], "layer 'crop' cuts time steps off the row"),
        (
            [GruLayer(name="rnn", inputs=("x",), units=2), RepeatVectorLayer(name="again", inputs=("rnn",), count=2)],
            "layer 'again' starts a second pass from a vector",
        ),
        (
            [GruLayer(name="one", inputs=("x",), units=2), GruLayer(name="two", inputs=("x", "one:h"), units=2)],
            "layer 'two' starts from states that the network computes",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(layers: list[LayerSpec], obstacle: str) -> None:
    split = causal_plan(ModelSpec(inputs=features(3, time_steps=4), layers=tuple(layers), outputs=(layers[-1].name,)))
    assert not split.causal
    assert split.obstacle == obstacle
    assert split.body == tuple(layers)


def test_a_second_input_or_none_in_time_stands_in_the_way() -> None:
    vector = InputSpec(name="v", kind="vector", width=2)
    gru = GruLayer(name="rnn", inputs=("x", "v"), units=2)
    assert causal_plan(ModelSpec(inputs=(*features(), vector), layers=(gru,), outputs=("rnn",))).obstacle == "it has 2 inputs"
    dense = DenseLayer(name="dense", inputs=("v",), units=2)
    only = causal_plan(ModelSpec(inputs=(vector,), layers=(dense,), outputs=("dense",)))
    assert only.obstacle == "its input 'v' is not a sequence"


def test_a_convolution_of_single_steps_runs_chunk_by_chunk() -> None:
    conv = Conv1dLayer(name="conv", inputs=("x",), units=2, kernel_size=1, padding="same")
    split = causal_plan(chain(conv, GruLayer(name="rnn", inputs=("conv",), units=2)))
    assert split.causal
    assert names(split.body) == ["conv", "rnn"]


def test_branches_and_skips_are_one_pass() -> None:
    split = causal_plan(
        chain(
            LstmLayer(name="left", inputs=("x",), units=2, return_sequences=True),
            GruLayer(name="right", inputs=("x",), units=2, return_sequences=True),
            MergeLayer(name="both", inputs=("left", "right", "x"), mode="concat"),
            LstmLayer(name="top", inputs=("both",), units=2),
            MergeLayer(name="ends", inputs=("top", "right:h"), mode="multiply"),
        )
    )
    assert split.causal
    assert names(split.body) == ["left", "right", "both", "top"]
    assert names(split.head) == ["ends"]


def test_flatten_of_a_vector_belongs_to_the_head() -> None:
    split = causal_plan(chain(GruLayer(name="rnn", inputs=("x",), units=2), FlattenLayer(name="flat", inputs=("rnn",))))
    assert split.causal
    assert names(split.head) == ["flat"]
