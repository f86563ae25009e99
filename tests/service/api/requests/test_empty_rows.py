"""Rows of no time steps in a batch: answered as the frameworks do, beside others, over both protocols."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.network import Network
from cellserve.service.client.tensors import from_wire, to_wire
from cellserve.service.pb import cellserve_pb2 as typed
from tests.golden.cases import FOLDER, all_cases
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of

LENGTHS = np.array([4, 0, 2])


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layered(*layers: dict[str, Any], outputs: list[str], **given: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "width": 3, **given}], "layers": list(layers), "outputs": outputs}


LSTM = {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4, "return_sequences": True, "mask_rule": "zero"}
GRU = {"kind": "gru", "name": "gru", "inputs": ["lstm"], "units": 4, "mask_rule": "repeat", "reset_after": True}
DENSE = {"kind": "dense", "name": "dense", "inputs": ["gru"], "units": 2}
BOTH = [
    {"kind": "gru", "name": "there", "inputs": ["x"], "units": 2, "return_sequences": True},
    {"kind": "gru", "name": "back", "inputs": ["x"], "units": 2, "go_backwards": True, "return_sequences": True},
    {"kind": "reverse", "name": "turned", "inputs": ["back"]},
    {"kind": "merge", "name": "both", "inputs": ["there", "turned"], "mode": "concat"},
]


@pytest.mark.parametrize("implementation", ["0", "1", "2", "fused", "onnxruntime", "packed"])
async def test_its_output_is_that_of_zeros_and_its_state_the_initial_one(harness: Harness, implementation: str) -> None:
    network, arrays = network_of(layered(LSTM, GRU, DENSE, outputs=["dense", "lstm", "lstm:h"]))
    harness.add("stack", network)
    x, state = numbers(3, 4, 3), numbers(3, 4, seed=1)
    request = infer_request("stack", inputs=x, lengths=LENGTHS, state_0_h=state)
    request.parameters["return_state"].bool_param = True
    request.parameters["implementation"].string_param = implementation
    found = outputs_of(await harness.infer(request))
    np.testing.assert_array_equal(found["outputs"][1], arrays["dense.bias"])
    np.testing.assert_array_equal(found["outputs_1"][1], np.zeros((4, 4)))
    np.testing.assert_array_equal(found["outputs_2"][1], state[1])
    np.testing.assert_array_equal(found["state.0.h"][1], state[1])
    np.testing.assert_array_equal(found["state.1.h"][1], np.zeros(4))
    kept = [0, 2]
    (dense, steps, _), _ = reference.run(network.spec, arrays, (x[kept],), [4, 2], state={"0.h": state[kept]})
    np.testing.assert_allclose(found["outputs"][kept], dense, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(found["outputs_1"][kept], steps, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["tf1_basiclstm_seqlen.ckpt.d/model.ckpt", "tf1_grucell.ckpt.d/model.ckpt"])
async def test_tensorflows_own_answers(harness: Harness, name: str) -> None:
    (case,) = (case for case in all_cases() if case.name == name)
    imported = case.load()
    harness.add("case", Network(imported.spec, imported.weights))
    with np.load(FOLDER / f"{name.partition('.')[0]}.npz") as stored:
        x, lengths, y, h = (stored[key] for key in ("x", "lengths", "y", "state_h"))
    assert 0 in lengths
    request = infer_request("case", inputs=x, lengths=lengths.astype(np.int64))
    request.parameters["return_state"].bool_param = True
    found = outputs_of(await harness.infer(request))
    np.testing.assert_allclose(found["outputs"], y, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(found["state.0.h"], h, rtol=1e-5, atol=2e-6)


async def test_in_both_directions(harness: Harness) -> None:
    network, arrays = network_of(layered(*BOTH, outputs=["both"]))
    harness.add("both", network)
    x = numbers(3, 4, 3)
    found = outputs_of(await harness.infer(infer_request("both", inputs=x, lengths=LENGTHS)))["outputs"]
    (steps,), _ = reference.run(network.spec, arrays, (x[[0, 2]],), [4, 2])
    np.testing.assert_allclose(found[[0, 2]], steps, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(found[1], np.zeros((4, 4)))


async def test_the_typed_reply_has_no_steps_of_it(harness: Harness) -> None:
    network, arrays = network_of(layered(LSTM, outputs=["lstm"]))
    harness.add("steps", network)
    x = numbers(6, 3)
    reply = await harness.sequences.Run(typed.RunRequest(model="steps", lengths=[4, 0, 2], inputs=to_wire(x)))
    first, _ = reference.run(network.spec, arrays, (x[None, :4],), [4])
    assert list(reply.lengths) == [4, 0, 2]
    assert list(reply.outputs[0].tensor.shape) == [6, 4]
    np.testing.assert_allclose(from_wire(reply.outputs[0].tensor)[:4], first[0][0], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", ["features", "ids"])
async def test_a_batch_of_nothing_else(harness: Harness, kind: str) -> None:
    embedding = {"kind": "embedding", "name": "words", "inputs": ["x"], "vocabulary": 4, "units": 3}
    lstm = LSTM | {"inputs": ["words" if kind == "ids" else "x"]}
    spec = layered(*([embedding] if kind == "ids" else []), lstm, GRU, DENSE, outputs=["lstm", "dense"])
    spec["inputs"] = [{"name": "x", "kind": "ids"}] if kind == "ids" else spec["inputs"]
    network, arrays = network_of(spec)
    harness.add("stack", network)
    x = np.zeros((2, 0), np.int64) if kind == "ids" else np.zeros((2, 0, 3), np.float32)
    found = outputs_of(await harness.infer(infer_request("stack", inputs=x)))
    assert found["outputs"].shape == (2, 0, 4)
    np.testing.assert_array_equal(found["outputs_1"], np.stack([arrays["dense.bias"]] * 2))
    reply = await harness.sequences.Run(
        typed.RunRequest(model="stack", lengths=[0, 0], inputs=to_wire(x.reshape(0, *x.shape[2:])))
    )
    np.testing.assert_array_equal(from_wire(reply.outputs[1].tensor), found["outputs_1"])


async def test_an_encoder_of_nothing_begins_its_decoder_with_zeros(harness: Harness) -> None:
    layers = [
        {"kind": "gru", "name": "encoder", "inputs": ["x"], "units": 4},
        {"kind": "gru", "name": "decoder", "inputs": ["y", "encoder:h"], "units": 4, "return_sequences": True},
    ]
    spec = {"inputs": [{"name": "x", "width": 3}, {"name": "y", "width": 2}], "layers": layers, "outputs": ["decoder"]}
    network, arrays = network_of(spec)
    harness.add("pair", network)
    x, y = numbers(3, 4, 3), numbers(3, 6, 2)
    found = outputs_of(await harness.infer(infer_request("pair", inputs=x, inputs_1=y, lengths=LENGTHS)))["outputs"]
    decoder = {"inputs": [{"name": "y", "width": 2}], "layers": [layers[1] | {"inputs": ["y"]}], "outputs": ["decoder"]}
    alone = {name: array for name, array in arrays.items() if name.startswith("decoder")}
    (steps,), _ = reference.run(network.spec.model_validate(decoder), alone, (y[1:2],), [6])
    np.testing.assert_allclose(found[1], steps[0], rtol=1e-5, atol=2e-6)


CONV = {"kind": "conv1d", "name": "conv", "inputs": ["x"], "units": 3, "kernel_size": 3, "padding": "same"}
NO_ANSWER = {
    "a window over time": layered(CONV, LSTM | {"inputs": ["conv"]}, outputs=["lstm"]),
    "a layer that heeds no masks": layered(LSTM | {"mask_rule": "ignore"}, outputs=["lstm"]),
    "a layer that computes masked steps": layered(LSTM | {"mask_rule": "reset"}, outputs=["lstm"]),
    "a fixed number of steps": layered(
        LSTM, {"kind": "flatten", "name": "flat", "inputs": ["lstm"]}, outputs=["flat"], time_steps=4
    ),
}


@pytest.mark.parametrize("what", NO_ANSWER)
async def test_where_no_framework_has_an_answer_it_is_refused(harness: Harness, what: str) -> None:
    harness.add("stack", network_of(NO_ANSWER[what])[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.infer(infer_request("stack", inputs=numbers(3, 4, 3), lengths=LENGTHS))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "row 1 has length 0; a length is 1 to 4" in (caught.value.details() or "")


async def test_a_live_sequence_is_not_fed_nothing(harness: Harness) -> None:
    request = infer_request("sums", inputs=numbers(1, 4, 2), lengths=np.array([0]))
    request.parameters["sequence_id"].int64_param = 5
    request.parameters["sequence_start"].bool_param = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await harness.infer(request)
    assert "fed one time step or more" in (caught.value.details() or "")
