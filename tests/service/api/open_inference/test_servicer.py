"""The Open Inference Protocol over a real server: what good requests get."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.pb import open_inference_pb2 as pb
from tests.fakes import FakeNetwork, running_sum
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of


def steps(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers as float32, so that sums are exact."""
    return np.random.default_rng(seed).integers(-9, 9, shape).astype(np.float32)


async def test_server_and_model_say_that_they_are_ready(harness: Harness) -> None:
    stub = harness.open_inference
    assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="sums"))).ready
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="sums", version="1"))).ready


@pytest.mark.parametrize(("name", "version"), [("nobody", ""), ("sums", "9"), ("", ""), ("sums", "x y")])
async def test_model_ready_is_false_and_no_error_for_the_unknown(harness: Harness, name: str, version: str) -> None:
    assert not (await harness.open_inference.ModelReady(pb.ModelReadyRequest(name=name, version=version))).ready


async def test_server_metadata_names_only_what_works(harness: Harness) -> None:
    metadata = await harness.open_inference.ServerMetadata(pb.ServerMetadataRequest())
    assert (metadata.name, metadata.version) == ("cellserve", "1.2.3")
    assert list(metadata.extensions) == [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "parameters",
        "schedule_policy",
        "sequence",
        "sequence(string_id)",
        "statistics",
    ]


async def test_model_metadata_describes_tensors_and_properties(harness: Harness) -> None:
    harness.add("sums", FakeNetwork(2), version=2)
    metadata = await harness.open_inference.ModelMetadata(pb.ModelMetadataRequest(name="sums"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("sums", ["2", "1"], "cellserve")
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [("inputs", "FP32", [-1, -1, 2])]
    assert [(each.name, list(each.shape)) for each in metadata.outputs] == [("outputs", [-1, -1, 2]), ("outputs_1", [-1, 2])]
    properties = metadata.properties
    assert properties["optional_inputs"] == "lengths, mask, state.0.h"
    assert properties["implementations"] == "0, 1, 2"
    assert properties["unsupported_implementation.fused"] == "layer 'sums': sums are not fused"
    assert properties["states"] == "state.0.h [2]"
    assert properties["causal"] == "true"
    assert properties["framework"] == "keras 3.0"
    assert properties["digest"].startswith("sha256:")


async def test_rows_of_different_lengths_are_exact_and_padded_with_zeros(harness: Harness) -> None:
    inputs, lengths = steps(3, 7, 2), np.array([7, 1, 4])
    response = await harness.infer(infer_request("sums", inputs=inputs, lengths=lengths))
    outputs = outputs_of(response)
    assert (response.id, response.model_name, response.model_version) == ("r1", "sums", "1")
    assert outputs["outputs"].shape == (3, 7, 2)
    for row, length in enumerate(lengths):
        sums, end = running_sum(inputs[row, :length])
        np.testing.assert_array_equal(outputs["outputs"][row, :length], sums)
        np.testing.assert_array_equal(outputs["outputs"][row, length:], 0)
        np.testing.assert_array_equal(outputs["outputs_1"][row], end)


async def test_a_mask_skips_steps_and_nan_may_stand_at_them(harness: Harness) -> None:
    inputs = steps(2, 5, 2)
    mask = np.array([[True, False, True, True, False], [False, True, True, False, True]])
    inputs[~mask] = np.nan
    outputs = outputs_of(await harness.infer(infer_request("sums", inputs=inputs, mask=mask)))
    for row in range(2):
        np.testing.assert_array_equal(outputs["outputs"][row], running_sum(inputs[row], mask[row])[0])


async def test_states_go_in_and_come_out(harness: Harness) -> None:
    inputs, state = steps(2, 3, 2), steps(2, 2, seed=1)
    request = infer_request("sums", inputs=inputs, state_0_h=state)
    request.parameters["return_state"].bool_param = True
    outputs = outputs_of(await harness.infer(request))
    for row in range(2):
        _, end = running_sum(inputs[row], state=state[row])
        np.testing.assert_array_equal(outputs["outputs_1"][row], end)
        np.testing.assert_array_equal(outputs["state.0.h"][row], end)


async def test_requested_outputs_select_and_order(harness: Harness) -> None:
    request = infer_request("sums", inputs=steps(1, 3, 2))
    for name in ("state.0.h", "outputs_1"):
        request.outputs.add(name=name)
    response = await harness.infer(request)
    assert [output.name for output in response.outputs] == ["state.0.h", "outputs_1"]


async def test_typed_contents_are_taken_as_raw_ones_are(harness: Harness) -> None:
    inputs = steps(2, 3, 2)
    request = pb.ModelInferRequest(model_name="sums")
    request.inputs.add(name="inputs", datatype="FP32", shape=inputs.shape).contents.fp32_contents.extend(inputs.ravel())
    request.inputs.add(name="lengths", datatype="INT32", shape=[2]).contents.int_contents.extend([3, 2])
    response = await harness.infer(request)
    raw = await harness.infer(infer_request("sums", inputs=inputs, lengths=np.array([3, 2])))
    assert response.raw_output_contents == raw.raw_output_contents


@pytest.mark.parametrize("dtype", [np.float16, np.float64, "bfloat16"])
async def test_other_floats_are_converted(harness: Harness, dtype: Any) -> None:
    x = np.array([[[1.5, -2], [3, 4]]], np.float32)
    state = np.array([[10.0, 0.25]], np.float32)

    def as_sent(array: np.ndarray) -> np.ndarray:
        return (array.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else array.astype(dtype)

    outputs = outputs_of(await harness.infer(infer_request("sums", inputs=as_sent(x), state_0_h=as_sent(state))))
    np.testing.assert_array_equal(outputs["outputs"], np.cumsum(x, axis=1) + state)


async def test_typed_doubles_are_converted(harness: Harness) -> None:
    request = pb.ModelInferRequest(model_name="sums")
    contents = pb.InferTensorContents(fp64_contents=[1.0, 2.0, 3.0, 4.0])
    request.inputs.add(name="inputs", datatype="FP64", shape=[1, 2, 2], contents=contents)
    outputs = outputs_of(await harness.infer(request))
    np.testing.assert_array_equal(outputs["outputs_1"], [[4, 6]])


async def test_the_reply_names_the_implementation_that_ran_and_its_times(harness: Harness) -> None:
    request = infer_request("sums", inputs=steps(1, 3, 2))
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.parameters["sequence_id"].int64_param = 0
    request.parameters["sequence_start"].bool_param = False
    request.parameters["priority"].uint64_param = 3
    for forced, ran in ((None, "2"), ("0", "0"), ("auto", "2")):
        if forced:
            request.parameters["implementation"].string_param = forced
        parameters = (await harness.infer(request)).parameters
        assert parameters["implementation"].string_param == ran
        assert parameters["iterations"].int64_param >= 1
        assert parameters["queue_us"].int64_param >= 0
        assert parameters["compute_us"].int64_param >= 0


@pytest.mark.parametrize("implementation", ["0", "1", "2", "fused"])
@pytest.mark.parametrize("kind", ["features", "ids"])
async def test_a_real_network_answers_as_the_oracle(harness: Harness, kind: str, implementation: str) -> None:
    first = {"name": "x", "kind": "ids"} if kind == "ids" else {"name": "x", "width": 3}
    embedding = [{"kind": "embedding", "name": "embed", "inputs": ["x"], "vocabulary": 9, "units": 3}] if kind == "ids" else []
    source = "embed" if kind == "ids" else "x"
    lstm = {"kind": "lstm", "name": "lstm", "inputs": [source], "units": 4, "return_sequences": True}
    gru = {"kind": "gru", "name": "gru", "inputs": ["lstm"], "units": 5, "reset_after": True}
    network, arrays = network_of({"inputs": [first], "layers": [*embedding, lstm, gru], "outputs": ["gru", "lstm"]})
    harness.add("real", network)
    numbers = np.random.default_rng(1)
    inputs = numbers.integers(0, 9, (3, 6)) if kind == "ids" else numbers.normal(size=(3, 6, 3)).astype(np.float32)
    lengths = np.array([6, 2, 5])
    request = infer_request("real", inputs=inputs, lengths=lengths)
    request.parameters["implementation"].string_param = implementation
    request.parameters["return_state"].bool_param = True
    outputs = outputs_of(await harness.infer(request))
    (ends, sequence), states = reference.run(network.spec, arrays, (inputs,), lengths)
    np.testing.assert_allclose(outputs["outputs"], ends, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(outputs["outputs_1"], sequence, rtol=1e-5, atol=2e-6)
    for key, state in states.items():
        np.testing.assert_allclose(outputs[f"state.{key}"], state, rtol=1e-5, atol=2e-6)


async def test_a_model_that_reads_backwards_is_served_whole(harness: Harness) -> None:
    layers = [
        {"kind": "lstm", "name": "there", "inputs": ["x"], "units": 4},
        {"kind": "lstm", "name": "back", "inputs": ["x"], "units": 4, "go_backwards": True},
        {"kind": "merge", "name": "both", "inputs": ["there", "back"], "mode": "concat"},
    ]
    network, arrays = network_of({"inputs": [{"name": "x", "width": 3}], "layers": layers, "outputs": ["both"]})
    harness.add("both", network)
    inputs, lengths = np.random.default_rng(2).normal(size=(2, 5, 3)).astype(np.float32), np.array([2, 5])
    outputs = outputs_of(await harness.infer(infer_request("both", inputs=inputs, lengths=lengths)))
    (expected,), _ = reference.run(network.spec, arrays, (inputs,), lengths)
    np.testing.assert_allclose(outputs["outputs"], expected, rtol=1e-5, atol=2e-6)


async def test_a_decoder_fed_with_a_vector_answers_its_own_number_of_steps(harness: Harness) -> None:
    layers = [
        {"kind": "repeat_vector", "name": "repeat", "inputs": ["x"], "count": 4},
        {"kind": "gru", "name": "gru", "inputs": ["repeat"], "units": 2, "return_sequences": True},
    ]
    network, arrays = network_of({"inputs": [{"name": "x", "kind": "vector", "width": 3}], "layers": layers, "outputs": ["gru"]})
    harness.add("decoder", network)
    metadata = await harness.open_inference.ModelMetadata(pb.ModelMetadataRequest(name="decoder"))
    assert [list(each.shape) for each in (*metadata.inputs, *metadata.outputs)] == [[-1, 3], [-1, 4, 2]]
    inputs = np.random.default_rng(3).normal(size=(2, 3)).astype(np.float32)
    outputs = outputs_of(await harness.infer(infer_request("decoder", inputs=inputs)))
    (expected,), _ = reference.run(network.spec, arrays, (inputs,), [1, 1])
    np.testing.assert_allclose(outputs["outputs"], expected, rtol=1e-5, atol=2e-6)


async def test_further_inputs_go_beside_the_sequence(harness: Harness) -> None:
    gru = {"kind": "gru", "name": "gru", "inputs": ["x", "start"], "units": 2}
    inputs = [{"name": "x", "width": 3}, {"name": "start", "kind": "vector", "width": 2}]
    network, arrays = network_of({"inputs": inputs, "layers": [gru], "outputs": ["gru"]})
    harness.add("two", network)
    numbers = np.random.default_rng(4)
    x, start = numbers.normal(size=(2, 5, 3)).astype(np.float32), numbers.normal(size=(2, 2)).astype(np.float32)
    outputs = outputs_of(await harness.infer(infer_request("two", inputs=x, inputs_1=start, lengths=np.array([2, 5]))))
    (expected,), _ = reference.run(network.spec, arrays, (x, start), [2, 5])
    np.testing.assert_allclose(outputs["outputs"], expected, rtol=1e-5, atol=2e-6)


async def test_every_reply_carries_a_request_id_of_its_own(harness: Harness) -> None:
    ids = []
    for _ in range(2):
        call = harness.open_inference.ModelInfer(infer_request("sums", inputs=steps(1, 1, 2)))
        await call
        ids.append(dict(tuple(await call.trailing_metadata()))["cellserve-request-id"])
    assert len(set(ids)) == 2


async def test_the_observer_learns_what_ran(harness: Harness) -> None:
    await harness.infer(infer_request("sums", inputs=steps(2, 3, 2)))
    (fact,) = harness.observer.requests
    assert (str(fact.version), fact.implementation, fact.code, fact.reason) == ("sums/1", "2", "OK", None)
    assert fact.queue_seconds is not None
    assert fact.compute_seconds is not None
    assert harness.observer.handled[0][0].method == "ModelInfer"
    assert harness.catalog.leases == 0


async def test_a_cancelled_call_frees_its_rows_and_its_lease(harness_of) -> None:
    going = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell() -> None:
        loop.call_soon_threadsafe(going.set)

    async with harness_of(max_active_sequences=8, max_chunk_seconds=1e-6, join_latency_seconds=1e-6) as harness:
        harness.add("sums", FakeNetwork(2, before=tell))
        call = harness.open_inference.ModelInfer(infer_request("sums", inputs=steps(8, 1000, 2)))
        waiting = asyncio.ensure_future(call)
        await asyncio.wait_for(going.wait(), 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await harness.rows_are_free(8)
        assert harness.catalog.leases == 0
        assert {end.reason for end in harness.engine_observer.ends} <= {"cancelled", "done"}
        assert (await harness.infer(infer_request("sums", inputs=steps(1, 1, 2)))).model_version == "1"
        assert harness.observer.requests[0].code == "CANCELLED"
