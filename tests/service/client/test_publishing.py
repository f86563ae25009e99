"""Publications over the whole server, with both clients and over both fronts: whole or not at all, once, by whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.models.importers import ImportedModel, Source
from cellserve.models.importers.isolated import leave
from cellserve.service.app import Running, serving
from cellserve.service.client import AsyncClient, Client
from cellserve.service.client.publishing.publication import Publication
from cellserve.service.config import Settings
from cellserve.service.errors import AdministrationDenied, InvalidInput, UnknownVersion, UploadLimit, VersionRefused
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from cellserve.service.registry.publishing.uploads import UPLOADS_FOLDER
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import SPEC, FakeSource, imported, measured_once, weights

INFER, ADMIN = "infer-0123456789abcdef", "admin-0123456789abcdef"


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    """`digits` has version 1, which is stable."""
    Repository(tmp_path / "repository", gate=measured_once).publish("digits", imported(), alias="stable")
    (tmp_path / "tokens").write_text(f"infer {INFER} the shop\nadmin {ADMIN} the operators\n")
    settings = Settings(
        repository=tmp_path / "repository",
        host="127.0.0.1",
        port=0,
        metrics_port=0,
        front=getattr(request, "param", "auto"),
        tokens=tmp_path / "tokens",
        max_upload_bytes=50_000,
    )
    async with serving(settings) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An import of other weights than those of version 1."""
    (tmp_path / "import").mkdir()
    source = Source(**asdict(FakeSource()))
    leave(ImportedModel(SPEC, weights(7), source, ("a remark",)), tmp_path / "import")
    return tmp_path / "import"


@pytest.mark.parametrize("server", ["grpc", "http2"], indirect=True)
async def test_a_version_from_afar(server: Running, folder: Path, tmp_path: Path) -> None:
    """Published, checked by the server's gate, promoted, and written down whose it is; the same again is the same."""
    seen: list[tuple[int, int]] = []
    x = np.zeros((3, 3), np.float32)
    async with AsyncClient(f"127.0.0.1:{server.port}", token=ADMIN) as client:
        made = await client.publish("digits", folder, alias="canary", tags={"run": "17"}, progress=lambda *n: seen.append(n))
        assert (made.version.version, made.version.state, made.version.aliases, made.repeated) == (2, "READY", ("canary",), False)
        assert seen[-1][0] == seen[-1][1] == sum(file.stat().st_size for file in folder.iterdir())
        assert (await client.run("digits@canary", x)).version == 2
        assert (await client.run("digits", x)).version == 1
        assert (await client.publish("digits", folder, tags={"run": "17"})).repeated
        shown = await client.show("digits/2")
        assert shown.tags == {"run": "17"}
        assert [each.problem async for each in client.verify("digits")] == ["", ""]
    repository = Repository(tmp_path / "repository")
    assert repository.manifest("digits", 2).parity.differences
    (move,) = (move for move in repository.alias_trail("digits").moves if move.alias == "canary")
    assert move.by.startswith("the operators, a call from ipv4:127.0.0.1")
    record = repository.publication(repository.manifest("digits", 2).key)
    assert record is not None
    assert record.by.startswith("the operators, a call from")
    assert list((tmp_path / "repository" / UPLOADS_FOLDER).iterdir()) == []


async def test_the_client_for_threads(server: Running, folder: Path) -> None:
    def talk() -> None:
        with Client(f"127.0.0.1:{server.port}", token=ADMIN) as client:
            assert client.publish("digits", folder, publisher="ann@laptop").version.version == 2
            told: dict[str, Any] = {}
            for change in client.watch("digits"):
                if change.kind == "current":
                    break
                told[change.kind] = change
            assert told["version"].number == 2
            assert told["alias"].alias == "stable"
            client.promote("digits", 2)
            client.remove("digits/1")
            assert [each.version for each in client.versions()] == [2]
            with pytest.raises(UnknownVersion):
                client.remove("digits/1")
            client.unload("digits")
            assert [each.state for each in client.load("digits")] == ["READY"]
            client.remove("digits@stable")
            client.remove("digits")
            assert client.models() == []

    await asyncio.to_thread(talk)


async def test_a_published_version_goes_to_another_model_as_it_is(server: Running, tmp_path: Path) -> None:
    async with AsyncClient(f"127.0.0.1:{server.port}", token=ADMIN) as client:
        made = await client.publish("copy", tmp_path / "repository" / "digits" / "1")
        assert (made.version.model, made.version.version) == ("copy", 1)
        originals = [await client.show(name) for name in ("digits", "copy")]
        assert originals[0].weights_digest == originals[1].weights_digest
        assert json.loads(await client.manifest("copy"))["notes"] == list(originals[0].notes)


async def test_what_the_gate_refuses_is_no_version(server: Running, folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    content["spec"]["layers"][0]["units"] = 5
    (folder / "model.json").write_text(json.dumps(content))
    async with AsyncClient(f"127.0.0.1:{server.port}", token=ADMIN) as client:
        with pytest.raises(VersionRefused, match="the weights do not fit the network"):
            await client.publish("digits", folder)
        (folder / "model.json").write_text("{}")
        with pytest.raises(VersionRefused, match="cannot be understood"):
            await client.publish("digits", folder)
        (folder / "weights.safetensors").write_bytes(bytes(60_000))
        with pytest.raises(UploadLimit, match="at most 50,000"):
            await client.publish("digits", folder)
        with pytest.raises(InvalidInput, match="is not a model name"):
            await client.publish("-", folder)
        assert [each.version for each in await client.versions("digits")] == [1]
    assert list((tmp_path / "repository" / UPLOADS_FOLDER).iterdir()) == []


async def test_a_broken_publication_is_resumed_and_asks_nothing_twice(server: Running, folder: Path) -> None:
    publication = Publication.of("digits", folder)
    metadata = (("authorization", f"Bearer {ADMIN}"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        registry: Any = cellserve_pb2_grpc.RegistryStub(channel)  # type: ignore[no-untyped-call]
        begin, *parts = publication.requests({}, None)
        broken = registry.Publish(metadata=metadata)
        await broken.write(begin)
        await broken.write(parts[0])
        first = parts[0].content
        whole = pb.FileReceived(name=first.name, bytes=len(first.data))
        reply = pb.PublishReply()
        while not reply.received:  # takes over from the stream that hangs, once that has begun
            with suppress(grpc.aio.AioRpcError):
                reply = await registry.Publish(iter([begin]), metadata=metadata)
        while whole not in reply.received:  # what had not come by then was not taken any more
            reply = await registry.Publish(iter([begin, parts[0]]), metadata=metadata)
        assert not reply.complete
        broken.cancel()
    sent: list[int] = []
    async with AsyncClient(f"127.0.0.1:{server.port}", token=ADMIN) as client:
        await client.publish("digits", folder, progress=lambda done, _: sent.append(done))
    assert sent[0] > len(first.data)
    assert len(sent) == len(parts) - 1


async def test_administrators_alone(server: Running, folder: Path) -> None:
    async with AsyncClient(f"127.0.0.1:{server.port}", token=INFER) as client:
        for call in (client.publish("digits", folder), client.remove("digits"), client.load("digits"), client.unload("digits")):
            with pytest.raises(AdministrationDenied):
                await call
        for stream in (client.watch(), client.verify()):
            with pytest.raises(AdministrationDenied):
                await anext(stream)
