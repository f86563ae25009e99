"""Networks in passes, cut anywhere and in any company: against the oracle, and against whole rows, in every implementation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
from cellserve.models.description.layers.windowed import Conv1dLayer, Padding1dLayer
from cellserve.models.network import Network
from cellserve.models.passes.chunk import gather
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.state import RecurrentState
from tests.examples import examples
from tests.models.drawn_layers import MASK_VALUE
from tests.models.networks import Case, agree, cases, chain, features, public_states, random_weights, supported
from tests.models.passing import Feeder, feeder, passes_agree_with_oracle, staged, stored

modest = settings(deadline=None, max_examples=examples(15))
Array = np.ndarray[Any, Any]


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_cuts_into_passes_and_chunks_leave_no_trace(case: Case, data: st.DataObject) -> None:
    network = case.network()
    assume(network.passes is not None)
    _, states = case.expected()
    for label in supported(network):
        made = feeder(case, network)
        made.finish(lambda low, high: data.draw(st.integers(low, high)), partial(str, label))
        passes_agree_with_oracle(case, made, label)
        for key, oracle in states.items():
            agree(public_states(made.state)[key], oracle, f"implementation {label}: state {key}")


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_states_of_rows_that_end_a_pass_may_be_given_up(case: Case, data: st.DataObject) -> None:
    network = case.network()
    assume(network.passes is not None)
    for label in supported(network):
        made = feeder(case, network)
        made.finish(lambda low, high: data.draw(st.integers(low, high)), partial(str, label), ended_states=False)
        passes_agree_with_oracle(case, made, label)


@modest
@given(cases(fusable=True), st.data())
def test_any_chunk_may_run_under_any_implementation(case: Case, data: st.DataObject) -> None:
    network = case.network()
    assume(network.passes is not None)
    labels = st.sampled_from(supported(network))
    made = feeder(case, network)
    made.finish(lambda low, high: data.draw(st.integers(low, high)), lambda: data.draw(labels))
    passes_agree_with_oracle(case, made, "mixed")


@modest
@given(cases(fusable=True) | cases(fusable=False), st.data())
def test_what_is_stored_is_foretold_and_in_the_end_only_outputs_are(case: Case, data: st.DataObject) -> None:
    network = case.network()
    assume(network.passes is not None)
    made = feeder(case, network)
    made.finish(lambda low, high: data.draw(st.integers(low, high)), lambda: "2")
    for memory, most, length in zip(made.memories, made.most_bytes, case.lengths):
        assert most <= made.passes.most_stored_bytes(length)
        assert stored(memory) <= {*case.spec.outputs, "x"}


def both_ways(source: str) -> tuple[LstmLayer, LstmLayer, ReverseLayer, MergeLayer]:
    onward = LstmLayer(name="f", inputs=(source,), units=3, return_sequences=True)
    backward = LstmLayer(name="b", inputs=(source,), units=3, return_sequences=True, go_backwards=True)
    turned = ReverseLayer(name="t", inputs=("b",))
    return onward, backward, turned, MergeLayer(name="both", inputs=("f", "t"), mode="concat")


VECTOR = InputSpec(name="v", kind="vector", width=3)

SPECS = {
    "encoder and decoder from computed and given states": ModelSpec(
        inputs=(*features(3), VECTOR),
        layers=(
            GruLayer(name="encoder", inputs=("x", "v"), units=3),
            RepeatVectorLayer(name="again", inputs=("encoder",), count=4),
            GruLayer(name="decoder", inputs=("again", "encoder:h"), units=3, return_sequences=True),
            DenseLayer(name="d", inputs=("decoder",), units=2),
        ),
        outputs=("d", "encoder", "v"),
    ),
    "two sequences, the second started from the first": ModelSpec(
        inputs=(*features(3), InputSpec(name="y", kind="ids")),
        layers=(
            LstmLayer(name="first", inputs=("x",), units=3),
            EmbeddingLayer(name="e", inputs=("y",), vocabulary=9, units=2, mask_zero=True),
            LstmLayer(name="second", inputs=("e", "first:h", "first:c"), units=3, return_sequences=True),
        ),
        outputs=("second", "y", "first"),
    ),
    "vectors alone": ModelSpec(inputs=(VECTOR,), layers=(DenseLayer(name="d", inputs=("v",), units=2),), outputs=("d", "v")),
    "a vector before the first sequence": ModelSpec(
        inputs=(VECTOR,),
        layers=(
            DenseLayer(name="d", inputs=("v",), units=2),
            RepeatVectorLayer(name="again", inputs=("d",), count=5),
            LstmLayer(name="r", inputs=("again",), units=3, return_sequences=True),
        ),
        outputs=("r",),
    ),
    "a sequence flattened, beside its last step": ModelSpec(
        inputs=features(3, time_steps=5),
        layers=(
            *both_ways("x"),
            FlattenLayer(name="flat", inputs=("both",)),
            LastStepLayer(name="last", inputs=("both",)),
            MergeLayer(name="m", inputs=("flat", "last"), mode="concat"),
            DenseLayer(name="d", inputs=("m",), units=2),
            FlattenLayer(name="raw", inputs=("x",)),
        ),
        outputs=("d", "raw"),
    ),
    "sequences of two step_counts that meet": ModelSpec(
        inputs=features(3, time_steps=5),
        layers=(
            SimpleRnnLayer(name="r", inputs=("x",), units=3),
            RepeatVectorLayer(name="again", inputs=("r",), count=5),
            MergeLayer(name="m", inputs=("again", "x"), mode="sum"),
            LstmLayer(name="top", inputs=("m",), units=3, go_backwards=True),
        ),
        outputs=("top", "m"),
    ),
    "ids turned round": ModelSpec(
        inputs=(InputSpec(name="x", kind="ids"),),
        layers=(
            ReverseLayer(name="turned", inputs=("x",)),
            EmbeddingLayer(name="e", inputs=("turned",), vocabulary=9, units=3, mask_zero=True),
            GruLayer(name="r", inputs=("e",), units=3, return_sequences=True),
        ),
        outputs=("r", "turned"),
    ),
    "windows over windows, with zeros around, and both poolings": chain(
        Padding1dLayer(name="pad", inputs=("x",), before=1, after=2),
        Conv1dLayer(name="c", inputs=("pad",), units=4, kernel_size=3, strides=2, padding="same"),
        GruLayer(name="r", inputs=("c",), units=3, return_sequences=True),
        Conv1dLayer(name="c2", inputs=("r",), units=2, kernel_size=2, dilation=2, padding="causal"),
        GlobalPooling1dLayer(name="average", inputs=("c2",), mode="average"),
        GlobalPooling1dLayer(name="largest", inputs=("r",), mode="max"),
        MergeLayer(name="m", inputs=("average", "largest"), mode="concat"),
        outputs=("m", "c2"),
    ),
    "a mask made behind products, heeded behind both directions": chain(
        DenseLayer(name="d", inputs=("x",), units=3, activation="relu"),
        MaskingLayer(name="mask", inputs=("d",), mask_value=0.0),
        *both_ways("mask"),
        GlobalPooling1dLayer(name="p", inputs=("both",), mode="average"),
        GruLayer(name="top", inputs=("both",), units=2, go_backwards=True, return_sequences=True),
        GruLayer(name="last", inputs=("top",), units=2),
        outputs=("p", "top", "last"),
    ),
}


def rows_of(spec: ModelSpec, lengths: Sequence[int], masked: bool) -> list[tuple[tuple[Array, ...], Array | None]]:
    chance = np.random.default_rng(3)

    def one(entry: InputSpec, length: int) -> Array:
        if entry.kind == "vector":
            return chance.normal(size=entry.width).astype(np.float32)
        if entry.kind == "ids":
            return chance.integers(0, 9, length)
        values = chance.normal(size=(length, entry.width)).astype(np.float32)
        values[chance.random(length) < 0.3] = MASK_VALUE
        return values

    rows = []
    for number, length in enumerate(lengths):
        mask = chance.random(length) < 0.6 if masked and number != 1 and spec.inputs[0].kind != "vector" else None
        rows.append((tuple(one(entry, length) for entry in spec.inputs), mask))
    return rows


def alone(
    network: Network, inputs: tuple[Array, ...], mask: Array | None, state: RecurrentState, label: str
) -> tuple[list[Array], Array]:
    """What the network answers to one whole row."""
    tensors = tuple(
        torch.from_numpy(array).unsqueeze(0 if entry.kind == "vector" else 1) for entry, array in zip(network.spec.inputs, inputs)
    )
    length = next((len(a) for entry, a in zip(network.spec.inputs, inputs) if entry.kind != "vector"), 1)
    given = None if mask is None else torch.from_numpy(mask).unsqueeze(1)
    outputs, end = network.run(tensors, [length], state, mask=given, implementation=label)
    sequences = [network.shapes[name].sequence for name in network.spec.outputs]
    return [o[:, 0].numpy() if seq else o[0].numpy() for o, seq in zip(outputs, sequences)], end.data[0].numpy()


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@pytest.mark.parametrize("name", SPECS)
def test_passes_answer_what_whole_rows_do(name: str, masked: bool) -> None:
    network = Network(SPECS[name], random_weights(SPECS[name]))
    fixed = SPECS[name].inputs[0].time_steps
    rows = rows_of(SPECS[name], [fixed] * 4 if fixed else [7, 4, 11, 9], masked)

    @settings(deadline=None, max_examples=examples(8))
    @given(st.sampled_from(supported(network)), st.data())
    def holds(label: str, data: st.DataObject) -> None:
        start = network.initial_state(len(rows))
        made = Feeder(network, rows, RecurrentState(start.layout, start.data.clone()))
        made.finish(lambda low, high: data.draw(st.integers(low, high)), partial(str, label))
        for row, (inputs, mask) in enumerate(rows):
            outputs, end = alone(network, inputs, mask, start.take([row]), label)
            for output, actual, expected in zip(SPECS[name].outputs, made.outputs(row), outputs, strict=True):
                assert actual.shape == expected.shape
                agree(actual, expected, f"{label}: {output}, row {row}")
            agree(made.state.data[row].numpy(), end, f"{label}: states of row {row}")

    holds()


def test_an_output_that_is_an_input_is_a_copy() -> None:
    network = Network(SPECS["vectors alone"], random_weights(SPECS["vectors alone"]))
    ((inputs, mask),) = rows_of(network.spec, [1], masked=False)
    made = Feeder(network, [(inputs, mask)], network.initial_state(1))
    made.finish(lambda low, high: high, lambda: "2")
    _, copied = made.outputs(0)
    copied[:] = 0
    assert inputs[0].any()


def test_a_mate_full_of_nan_is_invisible() -> None:
    spec = SPECS["a mask made behind products, heeded behind both directions"]
    network = Network(spec, random_weights(spec))
    rows = rows_of(spec, [7, 7, 5], masked=False)
    spoilt = (np.full_like(rows[1][0][0], np.nan),)
    answers = []
    for middle in (rows[1], (spoilt, None)):
        made = Feeder(network, [rows[0], middle, rows[2]], network.initial_state(3))
        made.finish(lambda low, high: high, lambda: "2")
        answers.append([output for row in (0, 2) for output in made.outputs(row)])
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_chunk_leaves_the_given_state_as_it_was() -> None:
    spec = SPECS["encoder and decoder from computed and given states"]
    network = Network(spec, random_weights(spec))
    assert network.passes is not None
    (inputs, mask), state = rows_of(spec, [6], masked=False)[0], network.initial_state(1)
    chunk = gather(network.passes.passes[0], [network.passes.memory(inputs, mask)], [0], [3], staged, network.device)
    _, after = network.passes.advance(0, chunk, state, implementation="2")
    assert not state.data.any()
    assert after.data.any()


@pytest.mark.parametrize("steps", [4, 6])
def test_sequences_of_other_steps_than_a_layer_needs_are_refused(steps: int) -> None:
    spec = SPECS["sequences of two step_counts that meet"]
    network = Network(spec, random_weights(spec))
    with pytest.raises(ValueError, match=f"the network needs sequences of 5 time steps; one has {steps}"):
        Feeder(network, rows_of(spec, [steps], masked=False), network.initial_state(1))
