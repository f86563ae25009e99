"""The model repository extension: its index, loading and unloading on request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.api.open_inference import repository_control
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import InvalidInput, NotOffered
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.publishing import Part, Published
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


class FakePublishing:
    """Remembers what came. verify is not asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.by = ""

    async def publish(self, declaration: Declaration, parts: AsyncIterator[Part]) -> Published:
        self.by = declaration.by
        self.files = {part.name: part.data async for part in parts}
        return Published(VersionKey(declaration.model, 4), False)

    def verify(self, reference: ModelRef | None) -> AsyncIterator[Mapping[str, Any]]:
        raise NotImplementedError


def load_with(files: Mapping[str, bytes], config: str | None = None) -> pb.RepositoryModelLoadRequest:
    request = pb.RepositoryModelLoadRequest(model_name="digits")
    for name, data in files.items():
        request.parameters[name].bytes_param = data
    if config is not None:
        request.parameters["config"].string_param = config
    return request


@pytest.mark.parametrize("config", [None, "", "{}", '{"name": "digits", "backend": "cellserve"}'])
async def test_files_that_come_along_are_published_then_loaded(config: str | None) -> None:
    administration, publishing = FakeAdministration(), FakePublishing()
    request = load_with({"file:1/manifest.json": b"{}", "file:1/weights.safetensors": b"numbers"}, config)
    await repository_control.load(request, administration, publishing, "the operators")
    assert publishing.files == {"manifest.json": b"{}", "weights.safetensors": b"numbers"}
    assert publishing.by == "the operators"
    assert administration.done == [("load", "digits")]


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (load_with({}, "{}"), NotOffered, "a load cannot change a model's config"),
        (load_with({"file:1/manifest.json": b"", "file:1/graph.onnx": b""}, '{"max_batch_size": 8}'), NotOffered, "config"),
        (load_with({"file:1/manifest.json": b"", "file:1/graph.onnx": b""}, "{"), InvalidInput, "is not JSON"),
        (load_with({"file:1/model.onnx": b""}), InvalidInput, "declared are: model.onnx"),
        (load_with({"file:manifest.json": b""}), InvalidInput, "is no file of a version"),
        (load_with({"file:0/manifest.json": b""}), InvalidInput, "is no file of a version"),
        (load_with({"file:1/../../manifest.json": b""}), InvalidInput, "declared are: ../../manifest.json"),
        (load_with({"file:1/manifest.json": b"", "file:2/graph.onnx": b""}), InvalidInput, "one version along"),
    ],
)
async def test_what_no_load_brings_along(request_: pb.RepositoryModelLoadRequest, kind: type[Exception], words: str) -> None:
    administration, publishing = FakeAdministration(), FakePublishing()
    with pytest.raises(kind, match=words):
        await repository_control.load(request_, administration, publishing, "")
    assert not administration.done
    assert not publishing.files


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


async def test_a_version_that_comes_along_answers_once_it_is_loaded(tmp_path: Path) -> None:
    publish(tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere" / "small" / "1"
    request = load_with({f"file:1/{name}": (folder / name).read_bytes() for name in ("manifest.json", "weights.safetensors")})
    request.model_name = "small"
    async with served(tmp_path / "repository") as server:
        stub = server.open_inference
        await stub.RepositoryModelLoad(request)
        await stub.RepositoryModelLoad(request)  # the same again is the same version
        assert await index_of(server) == [("small", "1", "READY", "")]
        assert (await stub.ModelInfer(infer_request(np.zeros((1, 2, 3), np.float32)))).model_version == "1"
        request.parameters["file:1/weights.safetensors"].bytes_param = b"{"
        code, details = await code_of(stub.RepositoryModelLoad(request))
        assert (code, details[:17]) == (Code.FAILED_PRECONDITION, "[VERSION_REFUSED]")
        assert await index_of(server) == [("small", "1", "READY", "")]


async def test_what_nobody_published_cannot_be_loaded(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        stub = server.open_inference
        for call in (
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="nobody")),
            stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="nobody")),
        ):
            assert (await code_of(call))[0] is Code.NOT_FOUND
