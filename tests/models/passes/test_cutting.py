"""How networks are cut into passes: as tables."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import (
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    RepeatVectorLayer,
    ReverseLayer,
)
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer, MaskingLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.description.step_counts import ONWARD, TURNED, Window
from cellserve.models.passes.cutting import cut
from cellserve.models.passes.plan import Pass
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec
from tests.models.networks import chain, features


def rnn(name: str, *inputs: str, back: bool = False, last: bool = False) -> SimpleRnnLayer:
    return SimpleRnnLayer(name=name, inputs=inputs, units=2, go_backwards=back, return_sequences=not last)


def both_ways(name: str, source: str) -> tuple[LayerSpec, ...]:
    return (
        rnn(f"{name}_f", source),
        rnn(f"{name}_b", source, back=True),
        ReverseLayer(name=f"{name}_t", inputs=(f"{name}_b",)),
        MergeLayer(name=name, inputs=(f"{name}_f", f"{name}_t"), mode="concat"),
    )


@dataclass(frozen=True)
class Row:
    """One pass, by names. views: (order, references, masks, layers made again)."""

    entries: str = ""
    body: str = ""
    pooled: str = ""
    head: str = ""
    stored: str = ""
    freed: str = ""
    kept: str = ""
    vectors: str = ""

    @classmethod
    def of(cls, one: Pass) -> Row:
        layers = (one.entries, one.body, one.pooled, one.head)
        names = (one.stored, one.freed, one.kept, one.vectors)
        return cls(*(" ".join(layer.name for layer in group) for group in layers), *(" ".join(sorted(group)) for group in names))


IDS = (InputSpec(name="x", kind="ids"),)
VECTOR = InputSpec(name="v", kind="vector", width=2)

TABLE: dict[str, tuple[ModelSpec, list[Row]]] = {
    "both directions share a pass, what they make is stored until it is merged": (
        chain(*both_ways("one", "x"), DenseLayer(name="d", inputs=("one",), units=1)),
        [
            Row(entries="one_b", body="one_f", stored="one_b one_f"),
            Row(entries="one_t", body="one d", stored="d", freed="one_b one_f"),
        ],
    ),
    "a second level: onward with the merge, turned in a pass of its own": (
        chain(*both_ways("one", "x"), *both_ways("two", "one")),
        [
            Row(entries="one_b", body="one_f", stored="one_b one_f"),
            Row(entries="one_t", body="one two_f", stored="one two_f", freed="one_b one_f"),
            Row(entries="two_b", stored="two_b", freed="one"),
            Row(entries="two_t", body="two", stored="two", freed="two_b two_f"),
        ],
    ),
    "only vectors are asked for: nothing is stored": (
        chain(
            rnn("f", "x", last=True),
            rnn("b", "x", back=True, last=True),
            MergeLayer(name="m", inputs=("f", "b"), mode="concat"),
        ),
        [Row(entries="b", body="f", head="m", kept="m")],
    ),
    "cheap layers on the inputs are made again in each pass": (
        ModelSpec(
            inputs=IDS,
            layers=(EmbeddingLayer(name="e", inputs=("x",), vocabulary=5, units=2), *both_ways("one", "e")),
            outputs=("one",),
        ),
        [
            Row(entries="one_b", body="one_f", stored="one_b one_f"),
            Row(entries="one_t", body="one", stored="one", freed="one_b one_f"),
        ],
    ),
    "products are not: a Dense in front is stored for whoever reads it turned": (
        chain(DenseLayer(name="d", inputs=("x",), units=2), *both_ways("one", "d")),
        [
            Row(body="d one_f", stored="d one_f"),
            Row(entries="one_b", stored="one_b", freed="d"),
            Row(entries="one_t", body="one", stored="one", freed="one_b one_f"),
        ],
    ),
    "a decoder waits for the encoder's vector and has a step_count of its own": (
        ModelSpec(
            inputs=(*features(3), VECTOR),
            layers=(
                rnn("encoder", "x", "v", last=True),
                RepeatVectorLayer(name="again", inputs=("encoder",), count=4),
                rnn("decoder", "again", "encoder:h"),
            ),
            outputs=("decoder",),
        ),
        [
            Row(body="encoder", kept="encoder encoder:h", vectors="v"),
            Row(entries="again", body="decoder", stored="decoder", vectors="encoder encoder:h"),
        ],
    ),
    "vectors alone take one step": (
        ModelSpec(inputs=(VECTOR,), layers=(DenseLayer(name="d", inputs=("v",), units=1),), outputs=("d",)),
        [Row(head="d", kept="d", vectors="v")],
    ),
    "a vector made before the first sequence": (
        ModelSpec(
            inputs=(VECTOR,),
            layers=(
                DenseLayer(name="d", inputs=("v",), units=2),
                RepeatVectorLayer(name="again", inputs=("d",), count=4),
                rnn("r", "again"),
            ),
            outputs=("r", "d"),
        ),
        [
            Row(head="d", kept="d", vectors="v"),
            Row(entries="again", body="r", stored="r", vectors="d"),
        ],
    ),
    "windows wait for what is below them, and pooling sums up step by step": (
        chain(
            Conv1dLayer(name="c", inputs=("x",), units=2, kernel_size=3, strides=2),
            rnn("r", "c"),
            Conv1dLayer(name="c2", inputs=("r",), units=2, kernel_size=2, padding="same"),
            GlobalPooling1dLayer(name="p", inputs=("c2",), mode="max"),
            DenseLayer(name="d", inputs=("p",), units=1),
        ),
        [
            Row(entries="c", body="r", stored="r"),
            Row(entries="c2", pooled="p", head="d", freed="r", kept="d"),
        ],
    ),
    "Flatten reads a stored sequence whole, and frees it": (
        ModelSpec(
            inputs=features(3, time_steps=4),
            layers=(rnn("r", "x"), FlattenLayer(name="f", inputs=("r",)), DenseLayer(name="d", inputs=("f",), units=1)),
            outputs=("d",),
        ),
        [Row(body="r", head="f d", stored="r", freed="r", kept="d")],
    ),
    "sequences of different step counts are made apart": (
        ModelSpec(
            inputs=features(3, time_steps=4),
            layers=(
                rnn("r", "x", last=True),
                RepeatVectorLayer(name="again", inputs=("r",), count=4),
                DenseLayer(name="d", inputs=("x",), units=2),
                MergeLayer(name="m", inputs=("again", "d"), mode="sum"),
                LastStepLayer(name="last", inputs=("m",)),
            ),
            outputs=("last",),
        ),
        [
            Row(body="r d", stored="d", kept="r"),
            Row(entries="again", body="m last", freed="d", kept="last", vectors="r"),
        ],
    ),
    "recurrent layers run though nobody reads them, others do not": (
        chain(
            rnn("b", "x", back=True),
            DenseLayer(name="unused", inputs=("b",), units=1),
            GruLayer(name="g", inputs=("x",), units=2),
            outputs=("g",),
        ),
        [Row(entries="b", body="g", kept="g")],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_passes(case: str) -> None:
    spec, expected = TABLE[case]
    assert [Row.of(one) for one in cut(spec).passes] == expected


def test_views_say_what_is_read_and_how_with_which_masks() -> None:
    spec = ModelSpec(
        inputs=IDS,
        layers=(
            EmbeddingLayer(name="e", inputs=("x",), vocabulary=5, units=2, mask_zero=True),
            *both_ways("one", "e"),
            LstmLayer(name="top", inputs=("one",), units=2),
        ),
        outputs=("top",),
    )
    first, second = cut(spec).passes
    read = [(view.order, view.references, view.masks, [layer.name for layer in view.layers]) for view in first.views]
    assert sorted(read) == [(ONWARD, ("x",), ("x",), ["e"]), (TURNED, ("x",), ("x",), ["e"])]
    read = [(view.order, view.references, view.masks, [layer.name for layer in view.layers]) for view in second.views]
    assert sorted(read) == [(ONWARD, ("x", "one_f"), ("x",), ["e"]), (TURNED, ("one_b",), (), [])]


def test_a_mask_that_nobody_heeds_is_not_read() -> None:
    spec = chain(MaskingLayer(name="m", inputs=("x",)), *both_ways("one", "m"), DenseLayer(name="d", inputs=("one",), units=1))
    first, second = cut(spec).passes
    assert all(view.masks for view in first.views)
    assert not any(view.masks or view.layers for view in second.views)


def test_a_mask_made_on_the_way_is_stored_as_long_as_it_is_read() -> None:
    spec = chain(
        DenseLayer(name="d", inputs=("x",), units=2, activation="relu"),
        MaskingLayer(name="m", inputs=("d",)),
        *both_ways("one", "m"),
        LstmLayer(name="top", inputs=("one",), units=2),
    )
    assert [one.stored_masks for one in cut(spec).passes] == [("m",), (), ()]
    assert [one.freed_masks for one in cut(spec).passes] == [(), (), ("m",)]


def test_windows_are_read_with_what_they_reach_over() -> None:
    (one,) = cut(chain(Conv1dLayer(name="c", inputs=("x",), units=2, kernel_size=3, strides=2, dilation=1))).passes
    assert [(view.order, view.references) for view in one.views] == [(Window(3, 2, "valid"), ("x",))]


def test_steps_and_what_is_stored_are_counted() -> None:
    plan = cut(TABLE["a second level: onward with the merge, turned in a pass of its own"][0])
    assert plan.steps(10) == (10, 10, 10, 10)
    assert plan.most_stored(10) == 10 * (2 + 2 + 4 + 2)
    strided = cut(TABLE["windows wait for what is below them, and pooling sums up step by step"][0])
    assert strided.steps(11) == (5, 5)
    assert strided.steps(2) == (0, 0)
    assert strided.most_stored(11) == 5 * 2
    assert cut(TABLE["only vectors are asked for: nothing is stored"][0]).most_stored(10) == 0
    assert cut(TABLE["vectors alone take one step"][0]).steps(1) == (1,)
