"""tritonclient's calls beside inference: metadata, configuration, statistics, index, load and unload, settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellserve.service.client import Client
from deploy.demo.server import Address, Server
from tests.e2e.foreign import ForeignClient
from tests.e2e.metrics import totals
from tests.e2e.models import MODEL_NAMES
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

NANOSECOND = 1e-9


@pytest.fixture(scope="module")
def own_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """These tests unload models and count requests: not the others'."""
    with Server(repository, tmp_path_factory.mktemp("log") / "server.log") as address:
        yield address


@pytest.fixture
def manage(own_server: Address) -> ForeignClient:
    return ForeignClient(interpreter("tritonclient"), "triton_manage.py", (own_server.url,))


def test_features_described(manage: ForeignClient) -> None:
    told = manage.run("describe", "digits")
    assert told["live"]
    assert told["ready"]
    assert told["model ready"]
    assert told["version ready"]
    assert not told["nobody ready"]
    assert told["server"]["name"] == "cellserve"
    assert {"statistics", "model_repository", "model_configuration"} <= set(told["server"]["extensions"])
    assert told["metadata"]["versions"] == ["1"]
    assert told["metadata"]["inputs"] == [{"name": "inputs", "datatype": "FP32", "shape": ["-1", "-1", "8"]}]
    assert told["metadata"]["outputs"] == [{"name": "outputs", "datatype": "FP32", "shape": ["-1", "10"]}]
    config = told["config"]
    assert config["max_batch_size"] > 0
    assert [(given["name"], given["data_type"], given["dims"]) for given in config["input"]] == [
        ("inputs", "TYPE_FP32", ["-1", "8"])
    ]
    assert [(given["name"], given["data_type"], given["dims"]) for given in config["output"]] == [
        ("outputs", "TYPE_FP32", ["10"])
    ]
    assert "sequence_batching" not in config


@pytest.mark.parametrize(
    ("model", "datatype", "inputs", "outputs"),
    [
        ("words", "INT64", ["-1", "-1"], ["-1", "5"]),
        ("both_ways", "FP32", ["-1", "-1", "4"], ["-1", "10"]),
        ("steps", "FP32", ["-1", "-1", "3"], ["-1", "-1", "4"]),
    ],
)
def test_shapes_described(manage: ForeignClient, model: str, datatype: str, inputs: list[str], outputs: list[str]) -> None:
    told = manage.run("describe", model)
    (given,), (made,) = told["metadata"]["inputs"], told["metadata"]["outputs"]
    assert (given["datatype"], given["shape"], made["shape"]) == (datatype, inputs, outputs)
    assert told["config"]["input"][0]["data_type"] == f"TYPE_{datatype}"
    assert told["config"]["input"][0]["dims"] == inputs[1:]
    assert told["config"]["output"][0]["dims"] == outputs[1:]


def test_statistics_agree_with_prometheus(manage: ForeignClient, own_server: Address, questions: dict[str, Any]) -> None:
    with Client(own_server.url) as client:
        for row in questions["inputs"][:30]:
            client.predict("digits", row)
        for label in ("0", "1", "2"):
            client.predict("digits", questions["inputs"][:4], implementation=label)
    (told,) = manage.run("statistics", "digits", "1")
    counted, inference = totals(own_server.metrics_url, "digits"), told["inference_stats"]
    assert int(inference["success"]["count"]) == counted.requests == 33
    assert int(told["inference_count"]) == 30 + 3 * 4
    assert int(told["execution_count"]) == counted.iterations
    for name, seconds in (
        ("success", counted.request_seconds),
        ("queue", counted.queue_seconds),
        ("compute_infer", counted.compute_seconds),
    ):
        assert int(inference[name]["ns"]) * NANOSECOND == pytest.approx(seconds, rel=1e-6, abs=1e-6)
    assert "count" not in inference["fail"]


def test_statistics_of_every_model(manage: ForeignClient) -> None:
    names = [each["name"] for each in manage.run("statistics")]
    assert sorted(names) == sorted(MODEL_NAMES)


def test_index(manage: ForeignClient) -> None:
    index = manage.run("index")
    assert sorted((each["name"], each["version"], each["state"]) for each in index) == sorted(
        (name, "1", "READY") for name in MODEL_NAMES
    )


def test_unload_holds_until_load(manage: ForeignClient, questions_file: Path) -> None:
    told = manage.run("unload_and_load", "steps", str(questions_file))
    before, unloaded, loaded = told["before"], told["unloaded"], told["loaded"]
    assert (before["ready"], unloaded["ready"], loaded["ready"]) == (True, False, True)
    (state,) = (each["state"] for each in unloaded["index"])
    assert state in ("UNLOADING", "UNAVAILABLE")  # the first while a live sequence of another test still stays on it
    for asked in (unloaded["asked"], unloaded["asked for 1"]):
        assert asked["status"] == "StatusCode.UNAVAILABLE"
        assert asked["message"].startswith("[VERSION_UNAVAILABLE] ")
    assert loaded["asked"]["outputs"] == before["asked"]["outputs"]


def test_unknown_models_are_not_loaded(manage: ForeignClient) -> None:
    for refused in manage.run("unload_unknown").values():
        assert refused["status"] == "StatusCode.NOT_FOUND"
        assert refused["message"].startswith("[MODEL_UNKNOWN] ")


def test_settings_and_shared_memory(manage: ForeignClient) -> None:
    told = manage.run("settings", "digits")
    assert told["trace"]["settings"]["trace_level"]["value"] == ["OFF"]
    assert told["log"]["settings"]["log_error"]["bool_param"]
    assert told["system shared memory"] == told["cuda shared memory"] == {}
    for refused in ("update trace", "update log", "register"):
        assert told[refused]["status"] == "StatusCode.UNIMPLEMENTED"
        assert told[refused]["message"].startswith("[NOT_OFFERED] ")
