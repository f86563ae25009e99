"""TLS and tokens through the whole server, asked by both clients as users ask it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cellserve.service import healthcheck
from cellserve.service.app import serving
from cellserve.service.client import AccessDenied, AsyncClient, Client, RetryPolicy, ServerNotTrusted, ServiceUnavailable
from cellserve.service.config import Settings
from cellserve.service.errors import AdministrationDenied, TokenInvalid, TokenMissing
from cellserve.service.followed_files import UnusableFile
from cellserve.service.pb import cellserve_pb2
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.pb import open_inference_pb2_grpc as pb_grpc
from tests.service.processes import Process, sample, scrape
from tests.service.served import infer_request, publish, served
from tests.service.tls import AUTHORITY, certificate, key

INFER, ADMIN, STRANGE = "infer-0123456789abcdef", "admin-0123456789abcdef", "other-0123456789abcdef"
X = np.ones((5, 3), np.float32)
ONCE = RetryPolicy(attempts=1)
TRUSTING = {"root_certificates": AUTHORITY.read_bytes()}
CLIENT = {"client_certificate": certificate("client").read_bytes(), "client_key": key("client").read_bytes()}
KINDS = ["sync", "async", "stream"]

Ask = Callable[..., Awaitable[Any]]


def asking(kind: str, url: str, **settings: Any) -> Ask:
    """`await ask("predict", "small", X)` through a client of its own."""
    settings = {"retry": ONCE, "timeout_seconds": 30.0} | settings

    async def ask(method: str, *arguments: Any, **options: Any) -> Any:
        if kind == "sync":
            with Client(url, **settings) as client:
                return await asyncio.to_thread(getattr(client, method), *arguments, **options)
        async with AsyncClient(url, streams=kind == "stream", **settings) as client:
            return await getattr(client, method)(*arguments, **options)

    return ask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    publish(root, alias="stable")
    return root


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"infer {INFER}\nadmin {ADMIN}\n")
    return path


def tls(name: str = "server", **more: Path) -> dict[str, Path]:
    return {"tls_certificate": certificate(name), "tls_key": key(name), **more}


# --- TLS ---


@pytest.mark.parametrize("kind", KINDS)
async def test_tls_with_a_token(root: Path, tokens: Path, kind: str) -> None:
    async with served(root, tokens=tokens, **tls()) as server:
        url = f"grpcs://localhost:{server.running.port}"
        assert (await asking(kind, url, token=INFER, **TRUSTING)("predict", "small", X)).shape == (4,)
        assert await asking(kind, url, token=ADMIN, **TRUSTING)("models") == ["small"]
        with pytest.raises(TokenMissing):
            await asking(kind, url, **TRUSTING)("predict", "small", X)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_name_in_the_certificate_counts(root: Path, kind: str) -> None:
    async with served(root, **tls()) as server:
        url = f"127.0.0.1:{server.running.port}"
        assert (await asking(kind, url, server_name="models.example", **TRUSTING)("predict", "small", X)).shape == (4,)
        with pytest.raises(ServerNotTrusted):
            await asking(kind, url, **TRUSTING)("predict", "small", X)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_certificate_that_cannot_be_trusted_is_told_at_once(root: Path, kind: str) -> None:
    async with served(root, **tls()) as server:
        url = f"grpcs://localhost:{server.running.port}"
        strangers = {"root_certificates": certificate("stranger").read_bytes(), "retry": RetryPolicy(), "timeout_seconds": 3600.0}
        with pytest.raises(ServerNotTrusted, match="CERTIFICATE_VERIFY_FAILED"):
            await asking(kind, url, **strangers)("predict", "small", X)


async def test_whoever_trusts_another_authority_or_speaks_plain_text_gets_no_answer(root: Path) -> None:
    async with served(root, **tls()) as server:
        port = server.running.port
        for url, settings in (
            (f"grpcs://localhost:{port}", {"root_certificates": certificate("stranger").read_bytes()}),
            (f"grpcs://localhost:{port}", {}),
            (f"localhost:{port}", {}),
        ):
            with pytest.raises(ServiceUnavailable):
                await asking("sync", url, **settings)("predict", "small", X)


@pytest.mark.parametrize("kind", KINDS)
async def test_mutual_tls(root: Path, kind: str) -> None:
    async with served(root, **tls(tls_client_ca=AUTHORITY)) as server:
        url = f"grpcs://localhost:{server.running.port}"
        assert (await asking(kind, url, **TRUSTING, **CLIENT)("predict", "small", X)).shape == (4,)
        stranger = {"client_certificate": certificate("stranger").read_bytes(), "client_key": key("stranger").read_bytes()}
        for shown in ({}, stranger):
            with pytest.raises(ServiceUnavailable):
                await asking(kind, url, **TRUSTING, **shown)("predict", "small", X)


async def test_a_renewed_certificate_counts_from_the_next_connection_on(root: Path, tmp_path: Path) -> None:
    files = {"tls_certificate": tmp_path / "chain.pem", "tls_key": tmp_path / "key.pem"}

    def install(name: str) -> None:
        shutil.copy(certificate(name), files["tls_certificate"])
        shutil.copy(key(name), files["tls_key"])

    def trusting(name: str) -> Ask:
        """This very certificate and no other."""
        return asking("async", f"grpcs://localhost:{port}", root_certificates=certificate(name).read_bytes())

    install("server")
    async with served(root, **files) as server:
        port = server.running.port
        async with AsyncClient(f"grpcs://localhost:{port}", **TRUSTING) as client:
            await client.predict("small", X)
            await trusting("server")("predict", "small", X)
            shutil.copy(key("renewed"), files["tls_key"])  # half of the way: the two do not belong together
            await trusting("server")("predict", "small", X)
            install("renewed")
            await trusting("renewed")("predict", "small", X)
            with pytest.raises(ServiceUnavailable):
                await trusting("server")("predict", "small", X)
            await client.predict("small", X)  # on the connection that it has


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"tls_certificate": certificate("server"), "tls_key": key("client")}, "is not the key of the first certificate"),
        ({"tls_certificate": Path("/nowhere.pem"), "tls_key": key("client")}, "--tls-certificate /nowhere.pem: cannot be read"),
        ({"tokens": Path("/nowhere")}, "--tokens /nowhere: cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_is_loaded(
    root: Path, processes: list[Process], files: dict[str, Path], told: str
) -> None:
    (root / "small/1/manifest.json").write_bytes(b"{")  # would be told if it were read
    processes.append(Process(root, **files))
    code, out, err = processes[0].end()
    assert (code, out) == (2, "")
    assert err.startswith("cellserve: --")
    assert told in err
    assert err.count("\n") == 1


async def test_a_certificate_that_clients_refuse_is_told_in_the_log(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(root, **tls("expired")):
        assert any("expired.pem: clients will refuse it (certificate has expired)" in line for line in caplog.messages)


# --- tokens ---


@pytest.mark.parametrize("kind", KINDS)
async def test_who_may_do_what_with_which_token(root: Path, tokens: Path, kind: str) -> None:
    async with served(root, tokens=tokens) as server:
        url = f"127.0.0.1:{server.running.port}"
        infer, admin = asking(kind, url, token=INFER), asking(kind, url, token=ADMIN)
        nobody, strange = asking(kind, url), asking(kind, url, token=STRANGE)
        for allowed in (infer, admin):
            assert (await allowed("predict", "small", X)).shape == (4,)
        assert (await admin("promote", "small", 1)).version == 1
        assert await admin("sequences") == []
        for method, *arguments in (("promote", "small", 1), ("versions",), ("show", "small"), ("sequences",)):
            with pytest.raises(AdministrationDenied, match="role admin"):
                await infer(method, *arguments)
        for method, *arguments in (("promote", "small", 1), ("predict", "small", X), ("sequences",)):
            with pytest.raises(TokenMissing, match="authorization: Bearer TOKEN") as missing:
                await nobody(method, *arguments)
            assert missing.value.request_id
            with pytest.raises(TokenInvalid, match="does not know") as invalid:
                await strange(method, *arguments)
            assert isinstance(invalid.value, AccessDenied)
        for anybody in (nobody, strange, infer):
            assert await anybody("ready")


@pytest.mark.parametrize("streams", [False, True])
async def test_live_sequences_carry_the_token_too(root: Path, tokens: Path, streams: bool) -> None:
    async with served(root, tokens=tokens) as server:
        url = f"127.0.0.1:{server.running.port}"
        async with AsyncClient(url, token=INFER, streams=streams) as client, client.sequence("small") as s:
            assert (await s.feed(X)).shape == (4,)
        async with AsyncClient(url, token=STRANGE, streams=streams) as client:
            with pytest.raises(TokenInvalid):
                await client.sequence("small").open()


def carrying(token: str) -> dict[str, Any]:
    return {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 30}


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), (refused.value.details() or "").partition("]")[0].strip("[")


async def test_open_inference_by_its_statuses(root: Path, tokens: Path) -> None:
    request, unload = infer_request(X[None]), pb.RepositoryModelUnloadRequest(model_name="small")
    unauthenticated, denied = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
    async with served(root, tokens=tokens) as server:
        stub = server.open_inference
        assert (await stub.ServerLive(pb.ServerLiveRequest())).live
        assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
        assert (await stub.ModelReady(pb.ModelReadyRequest(name="small"))).ready
        assert await refusal(stub.ModelInfer(request)) == (unauthenticated, "TOKEN_MISSING")
        assert await refusal(stub.ModelInfer(request, **carrying(STRANGE))) == (unauthenticated, "TOKEN_INVALID")
        assert await refusal(stub.ServerMetadata(pb.ServerMetadataRequest())) == (unauthenticated, "TOKEN_MISSING")
        assert await refusal(stub.RepositoryModelUnload(unload)) == (unauthenticated, "TOKEN_MISSING")
        assert await refusal(stub.RepositoryModelUnload(unload, **carrying(INFER))) == (denied, "ADMINISTRATION_DENIED")
        assert (await stub.ModelInfer(request, **carrying(INFER))).model_version == "1"
        await stub.RepositoryModelUnload(unload, **carrying(ADMIN))
        assert not (await stub.ModelReady(pb.ModelReadyRequest(name="small"))).ready


async def test_a_stream_is_looked_at_once_when_it_opens(root: Path, tokens: Path) -> None:
    async with served(root, tokens=tokens) as server:
        stream = server.open_inference.ModelStreamInfer(**carrying(INFER))
        for _ in range(2):
            await stream.write(infer_request(X[None]))
            assert (await stream.read()).infer_response.model_version == "1"
            tokens.write_text(f"admin {ADMIN}\n")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        refused = server.open_inference.ModelStreamInfer(**carrying(INFER))
        assert await refusal(refused.read()) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_tokens_that_are_taken_or_given_count_at_once(root: Path, tokens: Path) -> None:
    async with served(root, tokens=tokens) as server:
        stub = server.open_inference
        await stub.ModelInfer(infer_request(X[None]), **carrying(INFER))
        tokens.write_text(f"infer {STRANGE}\n")
        assert (await refusal(stub.ModelInfer(infer_request(X[None]), **carrying(INFER))))[1] == "TOKEN_INVALID"
        await stub.ModelInfer(infer_request(X[None]), **carrying(STRANGE))
        tokens.write_text("nonsense\n")
        await stub.ModelInfer(infer_request(X[None]), **carrying(STRANGE))


@pytest.mark.parametrize("front", ["grpc", "http2"])
async def test_a_token_may_be_for_some_models_and_for_so_many_steps_a_second(root: Path, tokens: Path, front: str) -> None:
    publish(root, "other")
    tokens.write_text(f"infer {INFER} models=small steps/s=5 the web shop\ninfer {STRANGE}\nadmin {ADMIN}\n")
    denied, exhausted = (grpc.StatusCode.PERMISSION_DENIED, "MODEL_DENIED"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
    async with served(root, tokens=tokens, front=front) as server:
        stub, shop = server.open_inference, carrying(INFER)
        small, other = infer_request(X[None]), infer_request(X[None], "other")
        feed = cellserve_pb2.OpenRequest(model="other", sequence_id="a")
        for refused in (
            stub.ModelInfer(other, **shop),
            stub.ModelMetadata(pb.ModelMetadataRequest(name="other"), **shop),
            stub.ModelStatistics(pb.ModelStatisticsRequest(name="other"), **shop),
            server.sequences.Open(feed, **shop),
            server.sequences.Close(cellserve_pb2.CloseRequest(model="other", sequence_id="a"), **shop),
        ):
            assert await refusal(refused) == denied
        index = await stub.RepositoryIndex(pb.RepositoryIndexRequest(), **shop)
        assert [one.name for one in index.models] == ["small"]
        for _ in range(2):
            assert (await stub.ModelInfer(small, **shop)).model_version == "1"
        assert await refusal(stub.ModelInfer(small, **shop)) == exhausted
        stream = stub.ModelStreamInfer(**shop)
        await stream.write(small)
        assert "RATE_EXCEEDED" in (await stream.read()).error_message
        tokens.write_text(f"infer {STRANGE}\n")  # the stream goes on as it was
        await stream.write(other)
        assert "MODEL_DENIED" in (await stream.read()).error_message
        await stream.done_writing()
        for _ in range(4):
            await stub.ModelInfer(other, **carrying(STRANGE))
        page = await asyncio.to_thread(scrape, server.running.metrics_port)
        for reason, times in (("MODEL_DENIED", 1), ("RATE_EXCEEDED", 2)):
            assert sample(page, f'cellserve_rejected_by_token_total{{reason="{reason}",token="the web shop"}}') == times


async def test_a_refused_call_is_not_even_parsed(root: Path, tokens: Path) -> None:
    async with served(root, tokens=tokens) as server:
        infer = server.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert (await refusal(infer(b"\xff\xff")))[1] == "TOKEN_MISSING"
        assert (await refusal(infer(b"\xff\xff", **carrying(INFER))))[1] == "INVALID_INPUT"


async def test_health_is_open_and_reflection_is_not(root: Path, tokens: Path) -> None:
    async with served(root, tokens=tokens) as server:
        health = health_pb2_grpc.HealthStub(server.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(service="small"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        assert (await refusal(reflection.ServerReflectionInfo(iter(asked)).read()))[1] == "TOKEN_MISSING"
        told = await reflection.ServerReflectionInfo(iter(asked), **carrying(INFER)).read()
        assert len(told.list_services_response.service) == 5


@pytest.mark.parametrize(
    ("settings", "warned"),
    [({"host": "0.0.0.0"}, True), ({"host": "127.0.0.1"}, False), ({"host": "0.0.0.0", **tls()}, False)],
    ids=["plain text", "loopback", "TLS"],
)
async def test_tokens_in_plain_text_are_warned_of(
    root: Path, tokens: Path, settings: dict[str, Any], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Settings(repository=root, port=0, metrics_port=0, tokens=tokens, **settings)
    with caplog.at_level(logging.DEBUG):
        async with serving(chosen) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            if not chosen.tls:
                await pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer_request(X[None]), **carrying(INFER))
    assert any("plain text" in line for line in caplog.messages) is warned
    assert not any(INFER in line or ADMIN in line for line in caplog.messages)


# --- the health check ---


@pytest.mark.parametrize("mutual", [False, True])
async def test_the_health_check_finds_its_own_server_by_the_settings(
    root: Path, tokens: Path, mutual: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**tls(tls_client_ca=AUTHORITY)} if mutual else tls()
    async with served(root, tokens=tokens, **files) as server:
        for name, value in {"port": server.running.port, **files}.items():
            monkeypatch.setenv(f"CELLSERVE_{name.upper()}", str(value))
        assert await asyncio.to_thread(healthcheck.main, [], 30.0) == 0
        monkeypatch.setenv("CELLSERVE_TLS_KEY", "/nowhere")
        assert await asyncio.to_thread(healthcheck.main, [], 30.0) == 1
        assert "--tls-key /nowhere: cannot be read" in capsys.readouterr().err


async def test_the_health_check_takes_options(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with served(root, **tls(tls_client_ca=AUTHORITY)) as server:
        url = f"127.0.0.1:{server.running.port}"
        trusting = [url, "--root-certificates", str(AUTHORITY), "--server-name", "models.example"]
        shown = ["--client-certificate", str(certificate("client")), "--client-key", str(key("client"))]
        assert await asyncio.to_thread(healthcheck.main, [*trusting, *shown], 30.0) == 0
        assert await asyncio.to_thread(healthcheck.main, trusting, 1.0) == 1
        assert await asyncio.to_thread(healthcheck.main, [*trusting, *shown[:2]], 1.0) == 1
        assert "certificate together with its key" in capsys.readouterr().err


async def test_the_server_in_this_process_refuses_as_the_command_does(root: Path) -> None:
    with pytest.raises(UnusableFile, match="--tokens /nowhere"):
        async with served(root, tokens=Path("/nowhere")):
            raise AssertionError("it has started")
