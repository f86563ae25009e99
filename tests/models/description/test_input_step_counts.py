"""Which inputs must have equally many time steps, and which number of steps each may have."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.models.description.input_step_counts import input_step_counts
from cellserve.models.description.shapes import fewest_steps, fitting, required_steps
from cellserve.models.description.step_counts import StepCount, steps_of
from cellserve.models.measuring import parity
from cellserve.models.measuring.golden_pair import GoldenPair, golden_inputs
from cellserve.models.network import Network
from cellserve.models.spec import ModelSpec
from tests.models.networks import random_weights


def network(*layers: dict[str, Any], **options: Any) -> ModelSpec:
    """Inputs v (a vector), a, b and c; options: of the inputs by name."""
    inputs = [
        {"name": "v", "kind": "vector", "width": 2},
        *({"name": name, "width": 2} | options.get(name, {}) for name in "abc"),
    ]
    return ModelSpec.model_validate({"inputs": inputs, "layers": list(layers), "outputs": [layers[-1]["name"]]})


def gru(name: str, *inputs: str, **options: Any) -> dict[str, Any]:
    return {"kind": "gru", "name": name, "inputs": list(inputs), "units": 2, "return_sequences": True, **options}


def merge(name: str, *inputs: str) -> dict[str, Any]:
    return {"kind": "merge", "name": name, "inputs": list(inputs), "mode": "concat"}


ENDS = [gru(f"{name}_end", name, return_sequences=False) for name in "abc"]
APART = network(*ENDS, merge("all", *(end["name"] for end in ENDS), "v"))
TWO_JOINED = network(gru("up", "c"), merge("joined", "up", "a"), gru("end", "joined", return_sequences=False), *ENDS)
DECODING = network(gru("encoder", "a", return_sequences=False), gru("decoder", "b", "encoder:h"), gru("other", "c"))


def sources(spec: ModelSpec) -> dict[str, int]:
    return {name: step_count.source for name, step_count in input_step_counts(spec).items()}


def test_a_sequence_and_what_it_looks_at_have_lengths_of_their_own() -> None:
    looking = {"kind": "attention", "name": "look", "inputs": ["a", "b"]}
    spec = network(looking, gru("end", "look", return_sequences=False), *ENDS)
    assert sources(spec) == {"a": 1, "b": 2, "c": 3}
    assert required_steps(spec) == (None,) * 4


def test_sequences_that_only_meet_as_vectors_have_lengths_of_their_own() -> None:
    assert sources(APART) == {"a": 1, "b": 2, "c": 3}
    assert sources(DECODING) == {"a": 1, "b": 2, "c": 3}


def test_those_that_are_merged_step_by_step_share_the_first_ones() -> None:
    assert sources(TWO_JOINED) == {"a": 1, "b": 2, "c": 1}


def test_a_later_merge_joins_whole_groups() -> None:
    spec = network(merge("one", "a", "b"), gru("up", "c"), merge("all", "up", "one"))
    assert sources(spec) == {"a": 1, "b": 1, "c": 1}


def test_a_clock_counts_the_steps_of_its_own_input() -> None:
    assert StepCount(source=2).steps((9, 8, 7)) == 7
    assert StepCount(source=2).steps(5) == 5
    assert StepCount(count=3, source=1).steps((9, 8)) == 3


def test_fixed_numbers_and_windows_belong_to_their_own_input() -> None:
    flat = {"kind": "flatten", "name": "flat", "inputs": ["up"]}
    conv = {"kind": "conv1d", "name": "conv", "inputs": ["b"], "units": 2, "kernel_size": 4}
    end = {"kind": "last_step", "name": "last", "inputs": ["conv"]}
    spec = network(gru("up", "a"), flat, conv, end, ENDS[2], merge("all", "flat", "last", "c_end", "v"), a={"time_steps": 5})
    assert required_steps(spec) == (None, 5, None, None)
    assert fewest_steps(spec) == (1, 1, 4, 1)
    assert fitting(spec, 9) == (9, 5, 9, 9)
    assert fitting(APART, 9) == 9


@pytest.mark.parametrize("spec", [APART, TWO_JOINED, DECODING], ids=["apart", "two joined", "decoding"])
def test_every_implementation_gives_the_oracles_numbers_at_lengths_that_differ(spec: ModelSpec) -> None:
    _, lengths = golden_inputs(spec)
    assert any(steps_of(fed, 1) != steps_of(fed, 2) for fed in lengths)
    report = parity.check(spec, random_weights(spec, 3))
    assert {"0", "1", "2", "onnxruntime"} <= set(report.differences)
    assert GoldenPair.from_json(report.golden.to_json()).lengths == lengths


def test_a_sequence_that_was_shortened_may_meet_one_of_fewer_steps() -> None:
    conv = {"kind": "conv1d", "name": "conv", "inputs": ["a"], "units": 2, "kernel_size": 3}
    layers = [
        conv,
        merge("joined", "conv", "b"),
        gru("end", "joined", return_sequences=False),
        ENDS[2],
        merge("all", "end", "c_end"),
    ]
    spec = network(*layers, a={"time_steps": 6}, b={"time_steps": 4})
    assert required_steps(spec) == (None, 6, 4, None)
    assert set(parity.check(spec, random_weights(spec, 3)).golden.lengths[0][1:3]) == {6, 4}


def test_a_golden_pair_of_one_length_a_row_is_written_as_ever() -> None:
    spec = network(merge("one", "a", "b"), merge("all", "one", "c"))
    assert golden_inputs(spec)[1] == (7, 4, 1)


def test_a_network_is_warmed_up_at_the_steps_of_each_input() -> None:
    flat = [{"kind": "flatten", "name": f"flat_{name}", "inputs": [name]} for name in "ab"]
    spec = network(*flat, ENDS[2], merge("all", "flat_a", "flat_b", "c_end"), a={"time_steps": 3}, b={"time_steps": 4})
    Network(spec, random_weights(spec, 1)).warm_up("2")
