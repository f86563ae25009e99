"""What Envoy is told, and what it makes of it: a real one before a server that tells back what reached it."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from cellserve.service.api.access.rights import ADMINISTRATION
from cellserve.service.cluster import binaries
from cellserve.service.cluster.envoy.bootstrap import bootstrap
from cellserve.service.cluster.envoy.plan import Endpoint, EndpointsByName, EndpointsFile, ProxyPlan, UpstreamTls
from cellserve.service.cluster.envoy.routes import NAMING, STREAMS, UNREPEATABLE
from cellserve.service.cluster.envoy.upstream import cluster, ping_seconds
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper
from cellserve.service.cluster.proxy import Proxy
from cellserve.service.config import Settings
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import open_inference_pb2 as oip
from tests.service.cluster.running import missing
from tests.service.tls import AUTHORITY, certificate, files_of, key
from tests.service.valkey_server import free_port

needs_envoy = pytest.mark.skipif(missing() is not None, reason="no Envoy on this machine")
INFER = "/inference.GRPCInferenceService/ModelInfer"
FEED = "/cellserve.v1.Sequences/Feed"
OPEN = "/cellserve.v1.Sequences/Open"
LEAST_PING_SECONDS = Settings().min_ping_interval_seconds
MESSAGE_BYTES = 4 * 1024 * 1024


def plan(**changes: Any) -> ProxyPlan:
    given = {
        "host": "127.0.0.1",
        "port": 1,
        "replicas": EndpointsFile("/endpoints"),
        "admin": "/admin",
        "max_message_bytes": 1024,
        "ping_seconds": 11.0,
    }
    return ProxyPlan(**(given | changes))


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers any unary call with the metadata it came with; refused: how many it refuses first, as one that is stopping.

    proxy_port: of the Envoy before it.
    """

    def __init__(self) -> None:
        self.refused = 0
        self.proxy_port = 0
        self.seen: list[dict[str, str]] = []

    def service(self, details: Any) -> Any:
        headers = {key: value if isinstance(value, str) else value.hex() for key, value in details.invocation_metadata}

        async def answer(request: bytes, context: Any) -> bytes:
            if details.method == "/grpc.health.v1.Health/Check":
                return b"\x08\x01"
            self.seen.append(headers)
            if self.refused:
                self.refused -= 1
                await context.abort(grpc.StatusCode.UNAVAILABLE, "[DRAINING] the server is stopping")
            return json.dumps(headers | {"bytes": len(request)}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def proxied(tmp_path: Path, **changes: Any) -> AsyncIterator[tuple[grpc.aio.Channel, Echo]]:
    """Envoy before one server, by a channel to it on this machine."""
    echo, folder, port = Echo(), Folder(tmp_path), free_port()
    echo.proxy_port = port
    server = grpc.aio.server(handlers=(echo,), options=(("grpc.max_receive_message_length", -1),))
    behind = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sockets = Path(tempfile.mkdtemp(prefix="cellserve-"))
    admin = sockets / "admin"
    told = plan(
        **{
            "port": port,
            "replicas": EndpointsFile(str(folder.endpoints)),
            "admin": str(admin),
            "max_message_bytes": MESSAGE_BYTES,
        }
        | changes
    )
    proxy = Proxy(binaries.envoy(), folder, told, admin, threads=1)
    proxy.publish([Endpoint("replica-0", "127.0.0.1", behind)])
    keeper = Keeper(proxy, folder, lambda: None)
    try:
        await keeper.ready()
        await proxy.wait_for(1)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, echo
    finally:
        await keeper.stop()
        await server.stop(None)
        shutil.rmtree(sockets)


def own_address() -> str | None:
    """One of this machine's that is not its loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = unsent.getsockname()[0]
        return None if found.startswith("127.") else found


async def asked(channel: grpc.aio.Channel, method: str, request: bytes, *metadata: tuple[str, str], **how: Any) -> dict[str, Any]:
    reply = await channel.unary_unary(method)(request, metadata=metadata, **how)
    found: dict[str, Any] = json.loads(reply)
    return found


def infer(sequence_id: int | str | None, big: bool = False, **others: int | str) -> bytes:
    request = oip.ModelInferRequest(model_name="small", id="7", raw_input_contents=[bytes(MESSAGE_BYTES // 2 if big else 12)])
    for name, value in (others | ({} if sequence_id is None else {"sequence_id": sequence_id})).items():
        if isinstance(value, int):
            request.parameters[name].int64_param = value
        else:
            request.parameters[name].string_param = value
    request.inputs.add(name="inputs", datatype="FP32", shape=[1, 1, 3])
    return request.SerializeToString()


IDS = [
    1,
    5,
    127,
    128,
    300,
    2**31,
    2**53 + 1,
    2**63 - 1,
    -1,
    -5,
    -(2**63),
    "5",
    "user-42",
    "with space",
    "zeile\nneu",
    "größe",
    "a" * 256,
    "漢" * 256,
]


@needs_envoy
async def test_the_sequence_of_a_unary_request_is_found_in_its_body(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (channel, _):
        for sequence_id in IDS:
            wanted = quote(str(sequence_id), safe="")
            assert (await asked(channel, INFER, infer(sequence_id)))["x-sequence-id"] == wanted
            text = str(sequence_id)
            opening = pb.OpenRequest(model="small", sequence_id=text).SerializeToString()
            assert (await asked(channel, OPEN, opening))["x-sequence-id"] == wanted
            feed = pb.FeedRequest(model="small", sequence_id=text, inputs=pb.Tensor(shape=(1, 3), data=bytes(12)))
            assert (await asked(channel, FEED, feed.SerializeToString()))["x-sequence-id"] == wanted
        found = await asked(channel, INFER, infer(9, big=True, priority=3, implementation="packed", zz="text"))
        assert found["x-sequence-id"] == "9"
        assert found["bytes"] > MESSAGE_BYTES // 2


@needs_envoy
async def test_every_request_that_names_a_sequence_says_so_to_the_router(tmp_path: Path) -> None:
    methods = pb.DESCRIPTOR.services_by_name["Sequences"].methods
    naming = {f"/cellserve.v1.Sequences/{each.name}": each for each in methods if "sequence_id" in each.input_type.fields_by_name}
    assert {*naming, INFER} == set(NAMING)
    async with proxied(tmp_path) as (channel, _):
        for path, method in naming.items():
            named = getattr(pb, method.input_type.name)(sequence_id="one")
            assert (await asked(channel, path, named.SerializeToString()))["x-sequence-id"] == "one"


@needs_envoy
async def test_a_sequence_is_found_wherever_in_a_body_it_is(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (channel, _):
        before = [*range(120, 270), 4096, 100_000]  # bytes, so that what names the sequence lies across whatever is read at once
        wholes = [oip.ModelInferRequest(raw_input_contents=[bytes(length)]).SerializeToString() + infer(-77) for length in before]
        found = await asyncio.gather(*(asked(channel, INFER, whole) for whole in wholes))
        assert {each.get("x-sequence-id") for each in found} == {"-77"}


@needs_envoy
async def test_what_names_no_sequence_or_cannot_be_read_goes_on_as_it_is(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (channel, _):
        tags = b"\x22\x0d\x0a\x0bsequence_id"  # an entry with a key and no value
        for request in (
            infer(None),
            infer(0),
            infer("", priority=5),
            b"",
            b"\xff" * 40,
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x22\x05\x0a",
            tags,
            b"\x08\x01" * 5000 + infer(5),  # more fields than are looked at
            infer(5)[:-8],
        ):
            found = await asked(channel, INFER, request)
            assert found.get("x-sequence-id") in (None, "5")
            assert found["bytes"] == len(request)
        assert "x-sequence-id" not in await asked(channel, INFER, b"\x08\x01" * 5000 + infer(5))
        packed = await asked(channel, INFER, infer(5, big=True), compression=grpc.Compression.Gzip)
        assert "x-sequence-id" not in packed
        assert "x-sequence-id" not in await asked(
            channel, "/cellserve.v1.Sequences/Run", pb.RunRequest(model="5").SerializeToString()
        )


@needs_envoy
async def test_a_client_may_say_its_sequence_and_not_its_request(tmp_path: Path) -> None:
    said = (("x-sequence-id", "mine"), ("x-request-id", "forged"), ("x-envoy-max-retries", "0"), ("x-forwarded-for", "10.1.1.1"))
    async with proxied(tmp_path) as (channel, echo):
        found = await asked(channel, INFER, infer(5), *said)
        assert found["x-sequence-id"] == "mine"
        assert found["x-request-id"] not in ("", "forged")
        echo.refused = 2
        found = await asked(channel, INFER, infer(5), *said)
        assert {each["x-request-id"] for each in echo.seen[-3:]} == {found["x-request-id"]}
        assert echo.refused == 0


@needs_envoy
async def test_a_request_id_is_believed_where_a_setting_says_so(tmp_path: Path) -> None:
    async with proxied(tmp_path, believe_request_ids=True) as (channel, _):
        assert (await asked(channel, INFER, infer(5), ("x-request-id", "true")))["x-request-id"] == "true"


@needs_envoy
async def test_administration_from_elsewhere_than_this_machine_is_refused(tmp_path: Path) -> None:
    outside = own_address()
    if outside is None:
        pytest.skip("this machine has no address but its loopback")
    async with (
        proxied(tmp_path, host="0.0.0.0") as (channel, echo),
        grpc.aio.insecure_channel(f"{outside}:{echo.proxy_port}") as foreign,
    ):
        for method in sorted(ADMINISTRATION):
            assert "bytes" in await asked(channel, method, b"")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await asked(foreign, method, b"")
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "bytes" in await asked(foreign, INFER, infer(5))


@needs_envoy
@pytest.mark.parametrize("allowed", [None, "network"])
async def test_administration_from_elsewhere_is_let_through_where_it_may_be(tmp_path: Path, allowed: str | None) -> None:
    outside = own_address()
    if outside is None:
        pytest.skip("this machine has no address but its loopback")
    networks = None if allowed is None else (ipaddress.ip_network(outside),)  # None: the replicas have tokens
    async with (
        proxied(tmp_path, host="0.0.0.0", administration_from=networks) as (_, echo),
        grpc.aio.insecure_channel(f"{outside}:{echo.proxy_port}") as foreign,
    ):
        assert "bytes" in await asked(foreign, "/cellserve.v1.Registry/List", b"")


def test_a_stream_is_never_asked_again_and_what_begins_a_sequence_only_unread() -> None:
    listener = bootstrap(plan())["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    asked_again: dict[str, set[str]] = {}
    for route in routes:
        causes = route["route"].get("retry_policy", {}).get("retry_on", "")
        asked_again.setdefault(route["match"].get("path", "/"), set()).update(causes.split(","))
    assert all(asked_again[path] == {""} for path in STREAMS)
    assert all("reset" not in asked_again[path] and "connect-failure" in asked_again[path] for path in UNREPEATABLE)
    assert all("reset" in asked_again[path] for path in ("/", FEED, INFER))
    assert listener["per_connection_buffer_limit_bytes"] > 1024


@needs_envoy
@pytest.mark.parametrize("by", ["file", "name", "names"])
async def test_envoy_takes_every_kind_of_configuration(tmp_path: Path, by: str) -> None:
    names = (("localhost", 8001), ("elsewhere.example", 8001))
    replicas = EndpointsFile(str(tmp_path / "endpoints.json")) if by == "file" else EndpointsByName(names[: 1 + (by == "names")])
    (tmp_path / "endpoints.json").write_text('{"resources": []}')
    told = plan(
        port=0,
        replicas=replicas,
        admin=("127.0.0.1", 0),
        watch=("127.0.0.1", 0),
        tls=files_of("server", AUTHORITY),
        upstream_tls=UpstreamTls(AUTHORITY, "replica", certificate("client"), key("client")),
        administration_from=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    )
    (tmp_path / "envoy.json").write_text(json.dumps(bootstrap(told)))
    command = (str(binaries.envoy()), "--mode", "validate", "--config-path", str(tmp_path / "envoy.json"))
    checking = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    _, err = await checking.communicate()
    assert checking.returncode == 0, err.decode()[-2000:]


@needs_envoy
async def test_probes_and_prometheus_see_health_and_metrics_and_nothing_else(tmp_path: Path) -> None:
    watch = ("127.0.0.1", free_port())
    async with proxied(tmp_path, watch=watch) as (channel, _):
        await asked(channel, INFER, infer(5))

        def look(path: str, method: str = "GET") -> tuple[int, str]:
            with closing(http.client.HTTPConnection(*watch, timeout=30)) as connection:
                connection.request(method, path)
                response = connection.getresponse()
                return response.status, response.read().decode()

        assert await asyncio.to_thread(look, "/ready") == (200, "LIVE\n")
        status, page = await asyncio.to_thread(look, "/stats/prometheus?usedonly")
        assert status == 200
        assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="replicas"}' in page
        for path, method in (
            ("/quitquitquit", "POST"),
            ("/config_dump", "GET"),
            ("/", "GET"),
            ("/ready/../quitquitquit", "POST"),
        ):
            assert (await asyncio.to_thread(look, path, method))[0] == 404
        assert await asyncio.to_thread(look, "/ready") == (200, "LIVE\n")
        assert "bytes" in await asked(channel, INFER, infer(5))


def test_one_of_several_names_keeps_its_place_whatever_its_address() -> None:
    def hash_keys(*names: str) -> list[str | None]:
        cluster = bootstrap(plan(replicas=EndpointsByName(tuple((name, 8001) for name in names))))["static_resources"][
            "clusters"
        ][0]
        endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        return [each.get("metadata", {}).get("filter_metadata", {}).get("envoy.lb", {}).get("hash_key") for each in endpoints]

    assert hash_keys("one", "two") == ["one", "two"]
    assert hash_keys("all-of-them") == [None]  # with one key for all there would be one place


def test_servers_are_pinged_no_oftener_than_they_allow() -> None:
    """Or they would end the connection, and with it every stream on which nothing is said for long."""
    for least in (LEAST_PING_SECONDS, 0.5, 60.0):
        options = cluster(plan(ping_seconds=ping_seconds(least)))["typed_extension_protocol_options"]
        (http,) = options.values()
        ping = http["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
        assert float(ping["interval"].removesuffix("s")) > least
        assert ping["interval_jitter"] == {"value": 0}
