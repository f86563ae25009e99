"""The model repository extension: its index, loading and unloading on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.api.open_inference import repository_control
from cellserve.service.errors import InvalidInput, NotOffered
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.status import VersionState, VersionStatus
from tests.service.served import Served, infer_request, publish, served

Code = grpc.StatusCode
STATES = {
    VersionState.UNKNOWN: ("UNKNOWN", ""),
    VersionState.LOADING: ("LOADING", ""),
    VersionState.READY: ("READY", ""),
    VersionState.UNLOADING: ("UNLOADING", ""),
    VersionState.FAILED: ("UNAVAILABLE", "damaged"),
    VersionState.UNLOADED: ("UNAVAILABLE", "unloaded"),
}


def statuses() -> list[VersionStatus]:
    return [
        VersionStatus("digits", number, state, "damaged" if state is VersionState.FAILED else "")
        for number, state in enumerate(VersionState, 1)
    ]


def test_every_state_has_its_word() -> None:
    told = repository_control.index(pb.RepositoryIndexRequest(), statuses()).models
    assert [(each.state, each.reason) for each in told] == [STATES[state] for state in VersionState]
    assert [(each.name, each.version) for each in told] == [("digits", str(number)) for number in range(1, len(VersionState) + 1)]


def test_only_what_is_ready_when_asked_for() -> None:
    told = repository_control.index(pb.RepositoryIndexRequest(ready=True), statuses()).models
    assert [each.state for each in told] == ["READY"]


def test_there_is_one_repository() -> None:
    with pytest.raises(InvalidInput, match="repository_name"):
        repository_control.index(pb.RepositoryIndexRequest(repository_name="other"), [])


class FakeAdministration:
    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    async def load(self, model: str) -> None:
        self.done.append(("load", model))

    async def unload(self, model: str) -> None:
        self.done.append(("unload", model))


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
async def test_a_load_brings_nothing_along(name: str) -> None:
    request = pb.RepositoryModelLoadRequest(model_name="digits")
    request.parameters[name].string_param = "{}"
    administration = FakeAdministration()
    with pytest.raises(NotOffered, match="cellserve import"):
        await repository_control.load(request, administration)
    assert not administration.done


async def test_unload_dependents_is_nothing_to_worry_about() -> None:
    request = pb.RepositoryModelUnloadRequest(model_name="digits")
    request.parameters["unload_dependents"].bool_param = True
    administration = FakeAdministration()
    await repository_control.unload(request, administration)
    assert administration.done == [("unload", "digits")]


async def index_of(server: Served) -> list[tuple[str, str, str, str]]:
    told = (await server.open_inference.RepositoryIndex(pb.RepositoryIndexRequest())).models
    return [(each.name, each.version, each.state, each.reason) for each in told]


async def code_of(call: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code(), failed.value.details() or ""


async def test_an_unload_holds_until_a_load(tmp_path: Path) -> None:
    publish(tmp_path, alias="stable")
    publish(tmp_path, "other")
    inputs = np.zeros((1, 2, 3), np.float32)
    async with served(tmp_path) as server:
        stub = server.open_inference
        assert await index_of(server) == [("other", "1", "READY", ""), ("small", "1", "READY", "")]
        await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="small"))
        assert await index_of(server) == [("other", "1", "READY", ""), ("small", "1", "UNAVAILABLE", "unloaded")]
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="small"))).ready
        publish(tmp_path)
        code, details = await code_of(stub.ModelInfer(infer_request(inputs)))
        assert (code, details[:21]) == (Code.UNAVAILABLE, "[VERSION_UNAVAILABLE]")
        assert (await stub.ModelInfer(infer_request(inputs, "other"))).model_version == "1"
        await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="small"))
        assert (await stub.ModelInfer(infer_request(inputs))).model_version == "1"
        assert ("small", "2", "READY", "") in await index_of(server)


async def test_a_version_that_cannot_be_loaded_is_told_and_is_not_worth_a_retry(tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "small/1/weights.safetensors").write_bytes(b"{")
    async with served(tmp_path) as server:
        stub = server.open_inference
        ((name, version, state, reason),) = await index_of(server)
        assert (name, version, state) == ("small", "1", "UNAVAILABLE")
        assert "weights.safetensors" in reason
        for call in (
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="small")),
            stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32))),
            stub.ModelConfig(pb.ModelConfigRequest(name="small")),
        ):
            code, details = await code_of(call)
            assert (code, details[:16]) == (Code.FAILED_PRECONDITION, "[VERSION_FAILED]")


async def test_what_nobody_published_cannot_be_loaded(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        stub = server.open_inference
        for call in (
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="nobody")),
            stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="nobody")),
        ):
            assert (await code_of(call))[0] is Code.NOT_FOUND
