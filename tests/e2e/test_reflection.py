"""A client without stubs: everything it sends is made from what the server says of itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.foreign import ForeignClient
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

INFERENCE = "inference.GRPCInferenceService"
SEQUENCES = "cellserve.v1.Sequences"


@pytest.fixture
def reflecting(server: Address) -> ForeignClient:
    return ForeignClient(interpreter("grpc"), "reflecting.py", (server.url,))


def call(reflecting: ForeignClient, service: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
    reply: dict[str, Any] = reflecting.run("call", service, method, json.dumps(request))
    return reply


def test_services(reflecting: ForeignClient) -> None:
    services = reflecting.run("services")
    assert {"ModelInfer", "ModelStreamInfer", "ModelMetadata", "ModelConfig"} <= set(services[INFERENCE])
    assert {"Run", "Stream"} <= set(services[SEQUENCES])
    assert {"List", "Show", "SetAlias"} <= set(services["cellserve.v1.Registry"])
    assert {"Check", "Watch"} <= set(services["grpc.health.v1.Health"])


def test_metadata(reflecting: ForeignClient) -> None:
    reply = call(reflecting, INFERENCE, "ModelMetadata", {"name": "digits"})
    assert reply["inputs"] == [{"name": "inputs", "datatype": "FP32", "shape": ["-1", "-1", "8"]}]
    assert reply["properties"]["causal"] == "true"


def test_infer(reflecting: ForeignClient, questions: dict[str, np.ndarray]) -> None:
    image = questions["inputs"][0]
    contents = {"fp32Contents": image.ravel().tolist()}
    inputs = [{"name": "inputs", "datatype": "FP32", "shape": [1, *image.shape], "contents": contents}]
    reply = call(reflecting, INFERENCE, "ModelInfer", {"modelName": "digits", "id": "7", "inputs": inputs})
    assert reply["id"] == "7"
    answer = np.frombuffer(base64.b64decode(reply["rawOutputContents"][0]), np.float32)
    np.testing.assert_allclose(answer, questions["outputs"][0], rtol=0, atol=1e-5)


def test_run(reflecting: ForeignClient, questions: dict[str, np.ndarray]) -> None:
    length = int(questions["cut_lengths"][0])
    row = questions["cut_inputs"][0][:length]
    inputs = {"shape": list(row.shape), "data": base64.b64encode(row.tobytes()).decode()}
    reply = call(reflecting, SEQUENCES, "Run", {"model": "digits", "lengths": [length], "inputs": inputs})
    answer = np.frombuffer(base64.b64decode(reply["outputs"][0]["tensor"]["data"]), np.float32)
    np.testing.assert_allclose(answer, questions["cut_outputs"][0], rtol=0, atol=1e-5)


def test_refusal(reflecting: ForeignClient) -> None:
    reply = call(reflecting, INFERENCE, "ModelInfer", {"modelName": "nobody"})
    assert reply["status"] == "NOT_FOUND"
    assert reply["message"].startswith("[MODEL_UNKNOWN] ")
