"""Stateful models of real frameworks, fed as live sequences over the wire: every answer is the framework's own.

A framework's batch of B rows is B live sequences; each of its calls is one feed.
"""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.models.network import Network
from tests.golden.cases import GoldenCase, all_cases
from tests.service.api.conftest import Harness, infer_request, network_of, outputs_of
from tests.service.api.open_inference.test_sessions import feed

STATEFUL = [case for case in all_cases() if "_stateful_" in case.name]
STACK = {
    "inputs": [{"name": "x", "width": 3}],
    "layers": [
        {"kind": "lstm", "name": "low", "inputs": ["x"], "units": 5, "return_sequences": True},
        {"kind": "gru", "name": "high", "inputs": ["low"], "units": 4, "return_sequences": True, "reset_after": True},
        {"kind": "last_step", "name": "last", "inputs": ["high"]},
    ],
    "outputs": ["high", "last"],
}


@pytest.fixture
def stack(harness: Harness) -> np.ndarray:
    """`stack` is served; one sequence for it, [1, 30, 3]."""
    harness.add("stack", network_of(STACK)[0])
    return np.random.default_rng(3).normal(size=(1, 30, 3)).astype(np.float32)


@pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.name)
async def test_each_feed_is_one_call_of_the_stateful_model(harness: Harness, case: GoldenCase) -> None:
    model = case.load()
    harness.add("golden", Network(model.spec, model.weights))
    for number, call in enumerate(case.calls):
        for row, (inputs, expected) in enumerate(zip(call.inputs[0], call.outputs[0], strict=True)):
            response = await harness.infer(feed(inputs, row + 1, model="golden", start=number == 0))
            np.testing.assert_allclose(outputs_of(response)["outputs"][0], expected, atol=case.atol, rtol=case.rtol)


@pytest.mark.parametrize("case", STATEFUL, ids=lambda case: case.name)
async def test_a_request_of_no_sequence_starts_from_zeros(harness: Harness, case: GoldenCase) -> None:
    model = case.load()
    harness.add("golden", Network(model.spec, model.weights))
    first = case.calls[0]
    for _ in range(2):
        response = await harness.infer(infer_request("golden", inputs=first.inputs[0]))
        np.testing.assert_allclose(outputs_of(response)["outputs"], first.outputs[0], atol=case.atol, rtol=case.rtol)


def test_there_are_stateful_cases() -> None:
    assert len({case.name.partition("_")[0] for case in STATEFUL}) >= 4


@pytest.mark.parametrize("implementation", ["0", "1", "2", "fused", "onnxruntime", "packed"])
async def test_fed_step_by_step_it_answers_as_at_once(harness: Harness, stack: np.ndarray, implementation: str) -> None:
    whole = outputs_of(await harness.infer(infer_request("stack", inputs=stack)))
    for step in range(stack.shape[1]):
        request = feed(stack[0, step : step + 1], 1, model="stack", start=step == 0)
        request.parameters["implementation"].string_param = implementation
        response = await harness.infer(request)
        assert response.parameters["implementation"].string_param == implementation
        np.testing.assert_allclose(outputs_of(response)["outputs"][0, 0], whole["outputs"][0, step], atol=1e-5)
    np.testing.assert_allclose(outputs_of(response)["outputs_1"], whole["outputs_1"], atol=1e-5)


async def test_states_carried_by_the_client_are_those_kept_by_the_server(harness: Harness, stack: np.ndarray) -> None:
    states: dict[str, np.ndarray] = {}
    for start in range(0, 30, 6):
        piece = stack[:, start : start + 6]
        kept = feed(piece[0], 1, model="stack", start=start == 0)
        carried = infer_request("stack", inputs=piece, **states)
        for request in (kept, carried):
            request.parameters["return_state"].bool_param = True
        by_server, by_client = outputs_of(await harness.infer(kept)), outputs_of(await harness.infer(carried))
        assert set(by_server) == {"outputs", "outputs_1", "state.0.h", "state.0.c", "state.1.h"}
        for name, expected in by_client.items():
            np.testing.assert_allclose(by_server[name], expected, atol=1e-6)
        states = {name.replace(".", "_"): array for name, array in by_client.items() if name.startswith("state")}
