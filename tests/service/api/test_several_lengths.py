"""Models with two sequences, each of lengths of its own, over a real server and both protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.network import Network
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as pb
from tests.golden.cases import all_cases
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of

SEQ2SEQ = {
    "inputs": [{"name": "source", "width": 3}, {"name": "target", "kind": "ids"}],
    "layers": [
        {"kind": "lstm", "name": "encoder", "inputs": ["source"], "units": 4},
        {"kind": "embedding", "name": "words", "inputs": ["target"], "vocabulary": 7, "units": 2},
        {
            "kind": "lstm",
            "name": "decoder",
            "inputs": ["words", "encoder:h", "encoder:c"],
            "units": 4,
            "return_sequences": True,
        },
        {"kind": "dense", "name": "answer", "inputs": ["decoder"], "units": 5},
    ],
    "outputs": ["answer", "encoder:h"],
}
JOINED = {
    "inputs": [{"name": "x", "width": 3}, {"name": "y", "width": 2}, {"name": "z", "width": 2}],
    "layers": [
        {"kind": "merge", "name": "both", "inputs": ["x", "y"], "mode": "concat"},
        {"kind": "gru", "name": "gru", "inputs": ["both"], "units": 4, "return_sequences": True},
        {"kind": "gru", "name": "back", "inputs": ["z"], "units": 3, "return_sequences": True, "go_backwards": True},
    ],
    "outputs": ["gru", "back"],
}
SOURCE_LENGTHS, TARGET_LENGTHS = np.array([6, 2, 5, 1]), np.array([1, 9, 4, 9])


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def source() -> np.ndarray:
    return numbers(4, 6, 3)


@pytest.fixture
def target() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 7, (4, 9))


def agree(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


def rows_of(array: np.ndarray, lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([row[:length] for row, length in zip(array, lengths)])


def run_request(model: str, lengths: Sequence[int], *inputs: np.ndarray, **fields: Any) -> typed.RunRequest:
    first, *more = map(to_wire, inputs)
    return typed.RunRequest(model=model, lengths=lengths, inputs=first, more_inputs=more, **fields)


async def told(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return caught.value.details() or ""


async def test_each_sequence_has_its_own_lengths(harness: Harness, source: np.ndarray, target: np.ndarray) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    request = infer_request("translate", inputs=source, inputs_1=target, lengths=SOURCE_LENGTHS, lengths_1=TARGET_LENGTHS)
    found = outputs_of(await harness.infer(request))
    feds = list(zip(SOURCE_LENGTHS.tolist(), TARGET_LENGTHS.tolist()))
    (answer, state), _ = reference.run(network.spec, arrays, (source, target), feds)
    agree(found["outputs"], answer)
    agree(found["outputs_1"], state)


@pytest.mark.parametrize("implementation", ["0", "2", "fused", "onnxruntime", "packed"])
async def test_each_row_is_answered_as_if_alone(
    harness: Harness, source: np.ndarray, target: np.ndarray, implementation: str
) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    for row, (ahead, behind) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS)):
        request = run_request(
            "translate", [ahead], source[row, :ahead], target[row, :behind], implementation=implementation
        )  # of one row all that is there
        reply = await harness.sequences.Run(request)
        alone = (source[row : row + 1, :ahead], target[row : row + 1, :behind])
        (answer, _), _ = reference.run(network.spec, arrays, alone, [(ahead, behind)])
        assert list(reply.lengths) == [behind]
        agree(from_wire(reply.outputs[0].tensor), answer[0])


async def test_the_typed_request_says_the_lengths_of_further_inputs(
    harness: Harness, source: np.ndarray, target: np.ndarray
) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    inputs = rows_of(source, SOURCE_LENGTHS), rows_of(target, TARGET_LENGTHS)
    request = run_request("translate", SOURCE_LENGTHS, *inputs, more_lengths=[typed.Lengths(steps=TARGET_LENGTHS)])
    reply = await harness.sequences.Run(request)
    (answer, state), _ = reference.run(network.spec, arrays, (source, target), list(zip(SOURCE_LENGTHS, TARGET_LENGTHS)))
    assert list(reply.lengths) == TARGET_LENGTHS.tolist()
    agree(from_wire(reply.outputs[0].tensor), rows_of(answer, TARGET_LENGTHS))
    agree(from_wire(reply.outputs[1].tensor), state)


async def test_outputs_with_other_lengths_than_the_first_say_theirs(harness: Harness) -> None:
    network, arrays = network_of(JOINED)
    harness.add("joined", network)
    x, y, z = numbers(2, 5, 3), numbers(2, 5, 2, seed=1), numbers(2, 8, 2, seed=2)
    request = run_request(
        "joined",
        [5, 2],
        rows_of(x, [5, 2]),
        rows_of(y, [5, 2]),
        rows_of(z, [3, 8]),
        more_lengths=[typed.Lengths(), typed.Lengths(steps=[3, 8])],
    )
    reply = await harness.sequences.Run(request)
    (forward, back), _ = reference.run(network.spec, arrays, (x, y, z), [(5, 5, 3), (2, 2, 8)])
    assert (list(reply.lengths), list(reply.outputs[0].lengths), list(reply.outputs[1].lengths)) == ([5, 2], [], [3, 8])
    agree(from_wire(reply.outputs[0].tensor), rows_of(forward, [5, 2]))
    agree(from_wire(reply.outputs[1].tensor), rows_of(back, [3, 8]))


async def test_without_lengths_every_step_counts(harness: Harness, source: np.ndarray, target: np.ndarray) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    found = outputs_of(await harness.infer(infer_request("translate", inputs=source, inputs_1=target)))
    (answer, _), _ = reference.run(network.spec, arrays, (source, target), [(6, 9)] * 4)
    agree(found["outputs"], answer)
    found = outputs_of(await harness.infer(infer_request("translate", inputs=source, inputs_1=target, lengths=SOURCE_LENGTHS)))
    (answer, _), _ = reference.run(network.spec, arrays, (source, target), [(length, 9) for length in SOURCE_LENGTHS])
    agree(found["outputs"], answer)


async def test_sequences_padded_alike_share_the_lengths_of_the_first_where_nothing_else_is_said(
    harness: Harness, source: np.ndarray, target: np.ndarray
) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    inputs = {"inputs": source, "inputs_1": target[:, :6], "lengths": SOURCE_LENGTHS}
    (answer, _), _ = reference.run(network.spec, arrays, (source, target[:, :6]), SOURCE_LENGTHS.tolist())
    agree(outputs_of(await harness.infer(infer_request("translate", **inputs)))["outputs"], answer)
    all_of_it = infer_request("translate", **inputs, lengths_1=np.full(4, 6))
    (answer, _), _ = reference.run(network.spec, arrays, (source, target[:, :6]), [(length, 6) for length in SOURCE_LENGTHS])
    agree(outputs_of(await harness.infer(all_of_it))["outputs"], answer)


async def test_what_stands_beyond_a_length_may_be_anything(harness: Harness, source: np.ndarray, target: np.ndarray) -> None:
    harness.add("translate", network_of(SEQ2SEQ)[0])
    lengths = {"lengths": SOURCE_LENGTHS, "lengths_1": TARGET_LENGTHS}
    clean = outputs_of(await harness.infer(infer_request("translate", inputs=source, inputs_1=target, **lengths)))
    for row, (ahead, behind) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS)):
        source[row, ahead:], target[row, behind:] = np.nan, 10**6
    dirty = outputs_of(await harness.infer(infer_request("translate", inputs=source, inputs_1=target, **lengths)))
    np.testing.assert_array_equal(dirty["outputs"], clean["outputs"])


@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        ({"lengths": np.array([5, 2]), "lengths_1": np.array([5, 3])}, "'inputs_1' is joined with 'inputs' step by step"),
        ({"lengths_2": np.array([3, 9])}, "row 1 has length 9; a length is 1 to 8, the time dimension of 'inputs_2'"),
        ({"lengths_2": np.array([3])}, "'lengths_2' has shape [1], expected [2]"),
        ({"lengths_3": np.array([3, 3])}, "optionally lengths, lengths_1, lengths_2, mask"),
    ],
)
async def test_lengths_that_cannot_be_are_refused(harness: Harness, lengths: dict[str, np.ndarray], sentence: str) -> None:
    harness.add("joined", network_of(JOINED)[0])
    request = infer_request("joined", inputs=numbers(2, 5, 3), inputs_1=numbers(2, 5, 2), inputs_2=numbers(2, 8, 2), **lengths)
    assert sentence in await told(harness.infer(request))


@pytest.mark.parametrize(
    ("more_lengths", "sentence"),
    [
        ([[5, 3]], "'inputs_1' is joined with 'inputs' step by step"),
        ([[], [3, 4, 5]], "more_lengths[1] has 3 entries for 2 rows"),
        ([[], [3, -1]], "row 1 has length -1"),
        ([[], [3, 9]], "'inputs_2' has shape [11, 2], expected [12, 2]"),
        ([[], [], []], "more_lengths for 3 inputs; the model takes 2"),
    ],
)
async def test_typed_lengths_that_cannot_be_are_refused(harness: Harness, more_lengths: list[list[int]], sentence: str) -> None:
    harness.add("joined", network_of(JOINED)[0])
    request = run_request(
        "joined",
        [5, 2],
        numbers(7, 3),
        numbers(7, 2),
        numbers(11, 2),
        more_lengths=[typed.Lengths(steps=steps) for steps in more_lengths],
    )
    assert sentence in await told(harness.sequences.Run(request))


async def test_a_mask_of_a_vector_is_refused_and_not_left_out(harness: Harness) -> None:
    inputs = [{"name": "start", "kind": "vector", "width": 4}, {"name": "x", "width": 3}]
    gru = {"kind": "gru", "name": "gru", "inputs": ["x", "start"], "units": 4}
    harness.add("begun", network_of({"inputs": inputs, "layers": [gru], "outputs": ["gru"]})[0])
    start, x, mask = numbers(2, 4), numbers(2, 5, 3), np.ones((2, 5), bool)
    sentence = "a mask is that of 'inputs', which is a vector"
    assert sentence in await told(harness.infer(infer_request("begun", inputs=start, inputs_1=x, mask=mask)))
    request = run_request("begun", [5, 5], start, x.reshape(10, 3), mask=to_wire(mask.reshape(10)))
    assert sentence in await told(harness.sequences.Run(request))


async def test_metadata_names_the_lengths(harness: Harness) -> None:
    harness.add("translate", network_of(SEQ2SEQ)[0])
    metadata = await harness.open_inference.ModelMetadata(pb.ModelMetadataRequest(name="translate"))
    assert "lengths, lengths_1, mask" in metadata.properties["optional_inputs"]


@pytest.mark.parametrize("name", ["k3_seq2seq.keras", "k3_shared_lstm_two_inputs.keras"])
async def test_models_of_keras_answer_as_keras_does(harness: Harness, name: str) -> None:
    (case,) = (case for case in all_cases() if case.name == name)
    imported = case.load()
    harness.add("case", Network(imported.spec, imported.weights))
    (call,) = case.calls
    found = outputs_of(await harness.infer(infer_request("case", inputs=call.inputs[0], inputs_1=call.inputs[1])))
    agree(found["outputs"], call.outputs[0])


async def test_long_sequences_are_cut_each_at_its_own_length(harness: Harness) -> None:
    network, arrays = network_of(SEQ2SEQ)
    harness.add("translate", network)
    source, target = numbers(2, 1200, 3), np.random.default_rng(1).integers(0, 7, (2, 1500))
    lengths = {"lengths": np.array([1200, 40]), "lengths_1": np.array([30, 1500])}
    found = outputs_of(await harness.infer(infer_request("translate", inputs=source, inputs_1=target, **lengths)))
    assert any(fact.steps < 1200 for fact in harness.engine_observer.iterations)
    (answer, _), _ = reference.run(network.spec, arrays, (source, target), [(1200, 30), (40, 1500)])
    agree(found["outputs"], answer)
