"""The publishing gate: it lets right networks through, and names the place where a wrong number first appears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellserve.models.description.shapes import expected_weights
from cellserve.models.implementations import IN_BFLOAT16, LABELS
from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.measuring import parity
from cellserve.models.measuring.golden_pair import LENGTHS
from cellserve.models.measuring.parity import GoldenPair, ParityFailure
from cellserve.models.network import Network
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights
from tests.compiled import PACKED
from tests.models.recording.fakes import FakeRecorder

CAUSAL: dict[str, Any] = {
    "inputs": [{"name": "ids", "kind": "ids"}],
    "layers": [
        {"kind": "embedding", "name": "table", "inputs": ["ids"], "vocabulary": 3, "units": 4, "mask_zero": True},
        {"kind": "lstm", "name": "first", "inputs": ["table"], "units": 5, "return_sequences": True},
        {"kind": "gru", "name": "second", "inputs": ["first"], "units": 3, "reset_after": True},
        {"kind": "dense", "name": "head", "inputs": ["second"], "units": 2, "activation": "softmax"},
    ],
    "outputs": ["first", "head"],
}


ABSENT = {"packed"} - set(PACKED)


def model(description: dict[str, Any], scale: float = 0.5) -> tuple[ModelSpec, Weights]:
    spec = ModelSpec.model_validate(description)
    random = np.random.default_rng(5)
    return spec, Weights.of({name: random.normal(size=shape) * scale for name, shape in expected_weights(spec).items()})


def test_every_implementation_is_compared_or_says_why_not() -> None:
    report = parity.check(*model(CAUSAL))
    assert set(report.differences) - {IN_BFLOAT16} == {"0", "1", "2", "fused", "onnxruntime", *PACKED}
    assert set(report.refused) - {IN_BFLOAT16} == ABSENT
    assert report.bound == parity.BASE_BOUND
    assert max(report.differences[label] for label in LABELS if label not in ABSENT) < parity.BASE_BOUND
    assert report.golden.lengths == LENGTHS
    assert report.golden.inputs[0].max() == 2
    hard = {
        **CAUSAL,
        "layers": [*CAUSAL["layers"][:1], {**CAUSAL["layers"][1], "recurrent_activation": "hard_sigmoid"}, *CAUSAL["layers"][2:]],
    }
    refused = parity.check(*model(hard)).refused
    assert set(refused) - {IN_BFLOAT16} == {"fused"} | ABSENT
    assert "'first'" in refused["fused"]


DECODER: dict[str, Any] = {
    "inputs": [{"name": "start", "kind": "vector", "width": 3}],
    "layers": [
        {"kind": "repeat_vector", "name": "again", "inputs": ["start"], "count": 5},
        {"kind": "lstm", "name": "lstm", "inputs": ["again", "start", "start"], "units": 3, "return_sequences": True},
        {"kind": "dense", "name": "head", "inputs": ["lstm"], "units": 2},
    ],
    "outputs": ["head", "lstm:h"],
}
VECTORS: dict[str, Any] = {
    "inputs": [{"name": "a", "kind": "vector", "width": 3}, {"name": "b", "kind": "vector", "width": 2}],
    "layers": [
        {"kind": "merge", "name": "both", "inputs": ["a", "b"], "mode": "concat"},
        {"kind": "dense", "name": "head", "inputs": ["both"], "units": 2},
    ],
    "outputs": ["head"],
}


@pytest.mark.parametrize("description", [DECODER, VECTORS])
def test_a_network_that_is_fed_vectors_alone_is_compared_like_any_other(description: dict[str, Any]) -> None:
    report = parity.check(*model(description))
    assert report.golden.lengths == (1, 1, 1)
    assert set(report.differences) - ABSENT - {IN_BFLOAT16} == {"0", "1", "2", "fused", "onnxruntime", *PACKED}
    network = Network(*model(description))
    for label in report.differences:
        network.warm_up(label)


def test_large_weights_raise_the_bound_as_far_as_float32_itself_rounds() -> None:
    layers = [
        {"kind": "simple_rnn", "name": "grow", "inputs": ["x"], "units": 24, "activation": "relu", "return_sequences": True}
    ]
    spec, weights = model({"inputs": [{"name": "x", "width": 8}], "layers": layers, "outputs": ["grow"]}, scale=8.0)
    report = parity.check(spec, weights)
    assert report.bound > parity.BASE_BOUND
    assert max(report.differences.values()) > parity.BASE_BOUND


def test_weights_that_leave_float32_are_refused() -> None:
    layers = [{"kind": "simple_rnn", "name": "explode", "inputs": ["x"], "units": 4, "activation": "exponential"}]
    spec, weights = model({"inputs": [{"name": "x", "width": 2}], "layers": layers, "outputs": ["explode"]}, scale=9.0)
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ParityFailure, match="beyond float32"):
        parity.check(spec, weights)


UNDEFINED: dict[str, Any] = {
    "inputs": [{"name": "x", "width": 3}],
    "layers": [
        {"kind": "batch_normalization", "name": "norm", "inputs": ["x"]},
        {"kind": "lstm", "name": "lstm", "inputs": ["norm"], "units": 3, "return_sequences": True},
        {"kind": "slstm", "name": "slstm", "inputs": ["norm"], "units": 2},
        {"kind": "min_lstm", "name": "min_lstm", "inputs": ["norm"], "units": 2},
        *(
            {"kind": "activation", "name": name, "inputs": ["norm"], "activation": name}
            for name in ("relu", "hard_sigmoid", "softmax", "hard_shrink", "thresholded_relu", "silu")
        ),
        {"kind": "activation", "name": "gates", "inputs": ["lstm"], "activation": "sigmoid"},
    ],
    "outputs": [
        "norm",
        "relu",
        "hard_sigmoid",
        "softmax",
        "hard_shrink",
        "thresholded_relu",
        "silu",
        "gates",
        "slstm",
        "min_lstm",
    ],
}


def undefined(kept: Sequence[int]) -> tuple[ModelSpec, Weights]:
    """Of some of its layers; the middle one of three features has a negative variance."""
    layers = [UNDEFINED["layers"][place] for place in kept]
    names = [layer["name"] for layer in layers if layer["name"] in UNDEFINED["outputs"]]
    spec, weights = model({**UNDEFINED, "layers": layers, "outputs": names})
    return spec, Weights.of({**weights.arrays, "norm.moving_variance": [0.5, -0.5, 2.0]})


@pytest.mark.parametrize("kept", [(0, 1, *range(4, 11)), (0, 2, 3)], ids=["lstm and activations", "slstm, min_lstm"])
def test_layers_that_answer_nan_do_so_in_every_implementation_that_is_offered(kept: Sequence[int]) -> None:
    report = parity.check(*undefined(kept))
    assert set(report.differences) >= {"0", "1", "2"}
    assert report.refused["onnxruntime"] == "implementation 'onnxruntime' makes numbers of NaN, which layer 'norm' answers"
    first, *others = report.golden.outputs
    assert np.isnan(first[0, :7]).tolist() == [[False, True, False]] * 7
    assert all(np.isnan(output[0]).any() for output in others)


def test_nan_where_the_oracle_has_a_number_is_a_failure_and_so_is_a_number_where_it_has_nan() -> None:
    spec, weights = undefined((0,))
    report = parity.check(spec, weights)
    (answer,) = report.golden.outputs
    network = Network(spec, weights)
    for place in ((0, 0, 0), (0, 0, 1)):
        other = answer.copy()
        other[place] = 1.0 if np.isnan(other[place]) else np.nan
        with pytest.raises(ParityFailure, match=rf"row 0, step 0, place \[0, {place[2]}\] is"):
            parity.verify(network, replace(report.golden, outputs=(other,)), report.bound, "2")


def test_a_wrong_output_is_named_with_row_step_and_both_values() -> None:
    spec, weights = model(CAUSAL)
    golden = parity.check(spec, weights).golden
    wrong = golden.outputs[0].copy()
    wrong[1, 2, 3] = 0.75
    with pytest.raises(
        ParityFailure, match=r"implementation '1', run whole: output 'first': row 1, step 2, place \[2, 3\].*0\.75"
    ):
        parity.verify(Network(spec, weights), replace(golden, outputs=(wrong, golden.outputs[1])), parity.BASE_BOUND, "1")


def test_a_wrong_state_is_named() -> None:
    spec, weights = model(CAUSAL)
    golden = parity.check(spec, weights).golden
    states = {**golden.state, "0.c": golden.state["0.c"] + np.float32(1e-4)}
    with pytest.raises(ParityFailure, match=r"state '0\.c': row 0, place \[0\]"):
        parity.verify(Network(spec, weights), replace(golden, state=states), parity.BASE_BOUND, "2")


@pytest.mark.parametrize("mask_zero", [False, True])
def test_chunks_of_one_call_each_are_compared_too(mask_zero: bool) -> None:
    """Where layers mask, on steps of which none is."""
    description = {**CAUSAL, "layers": [{**CAUSAL["layers"][0], "mask_zero": mask_zero}, *CAUSAL["layers"][1:]]}
    spec, weights = model(description)
    report = parity.check(spec, weights)
    other = Network(spec, model(description, scale=0.49)[1]).chunk_call("onnxruntime")

    class Swapped(Network):
        def chunk_call(self, implementation: str) -> ChunkCall | None:
            return other

    with pytest.raises(ParityFailure, match=r"'onnxruntime', run in chunks of one call each: output 'first': row 0, step 0"):
        parity.verify(Swapped(spec, weights), report.golden, report.bound, "onnxruntime")


def test_passes_in_chunks_are_compared_too() -> None:
    layers = [
        {"kind": "lstm", "name": "onward", "inputs": ["x"], "units": 3, "return_sequences": True},
        {"kind": "lstm", "name": "backward", "inputs": ["x"], "units": 3, "return_sequences": True, "go_backwards": True},
        {"kind": "reverse", "name": "turned", "inputs": ["backward"]},
        {"kind": "merge", "name": "both", "inputs": ["onward", "turned"], "mode": "concat"},
    ]
    both_ways = {"inputs": [{"name": "x", "width": 2}], "layers": layers, "outputs": ["both", "onward:c"]}
    spec, weights = model(both_ways)
    report = parity.check(spec, weights)
    network = Network(spec, weights)
    network.passes = Network(spec, model(both_ways, scale=0.49)[1]).passes
    with pytest.raises(ParityFailure, match=r"implementation '2', run in passes: output 'both': row 0, step 0"):
        parity.verify(network, report.golden, report.bound, "2")


def test_other_weights_do_not_pass_as_these() -> None:
    spec, weights = model(CAUSAL)
    golden = parity.check(spec, weights).golden
    changed = {name: array.copy() for name, array in weights.arrays.items()}
    changed["second.kernel"][0, 0] += 0.01
    with pytest.raises(ParityFailure):
        parity.verify(Network(spec, Weights.of(changed)), golden, parity.BASE_BOUND, "fused")


def test_beyond_a_rows_length_nothing_is_compared() -> None:
    spec, weights = model(CAUSAL)
    golden = parity.check(spec, weights).golden
    padded = golden.outputs[0].copy()
    padded[2, 1:] = 99.0
    elsewhere = replace(golden, outputs=(padded, golden.outputs[1]))
    assert parity.verify(Network(spec, weights), elsewhere, parity.BASE_BOUND, "0") < parity.BASE_BOUND


def test_the_steps_of_a_repeat_vector_are_compared_for_every_row() -> None:
    description = {
        "inputs": [{"name": "x", "width": 2}],
        "layers": [
            {"kind": "lstm", "name": "encoder", "inputs": ["x"], "units": 3},
            {"kind": "repeat_vector", "name": "repeat", "inputs": ["encoder"], "count": 5},
            {"kind": "gru", "name": "decoder", "inputs": ["repeat"], "units": 2, "return_sequences": True},
        ],
        "outputs": ["decoder"],
    }
    spec, weights = model(description)
    golden = parity.check(spec, weights).golden
    wrong = golden.outputs[0].copy()
    wrong[2, 4, 0] += 1  # the row of one step still has five outputs
    with pytest.raises(ParityFailure, match="row 2"):
        parity.verify(Network(spec, weights), replace(golden, outputs=(wrong,)), parity.BASE_BOUND, "2")


def test_a_golden_pair_survives_json_bit_for_bit() -> None:
    golden = parity.check(*model(CAUSAL)).golden
    again = GoldenPair.from_json(golden.to_json())
    assert again.lengths == golden.lengths
    for before, after in zip(
        (*golden.inputs, *golden.outputs, *golden.state.values()), (*again.inputs, *again.outputs, *again.state.values())
    ):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
    assert again.state.keys() == golden.state.keys()


@pytest.mark.parametrize("broken", [False, True])
def test_recorded_chunks_are_held_to_the_oracle_too(broken: bool) -> None:
    spec, weights = model(CAUSAL)
    golden = parity.check(spec, weights).golden
    recorder = FakeRecorder(off_by=1e-3 if broken else 0.0)
    network = Network(spec, weights, recorder=recorder)
    if broken:
        with pytest.raises(ParityFailure, match="run in chunks"):
            parity.verify(network, golden, parity.BASE_BOUND, "2")
    else:
        assert parity.verify(network, golden, parity.BASE_BOUND, "2") < parity.BASE_BOUND
    assert recorder.repeated > 0


def test_a_foreign_golden_pair_is_not_read() -> None:
    written = parity.check(*model(CAUSAL)).golden.to_json()
    written["outputs"][0]["dtype"] = "object"
    with pytest.raises(ValueError, match="object"):
        GoldenPair.from_json(written)
