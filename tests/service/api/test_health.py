"""grpc.health.v1 and reflection over a real server."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cellserve.service.api.health import HealthServicer
from tests.fakes import FakeNetwork
from tests.service.api.conftest import Harness

Status = health_pb2.HealthCheckResponse


async def check(harness: Harness, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(harness.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_the_server_its_services_and_its_models_have_names(harness: Harness) -> None:
    harness.server.show_models()
    for service in ("", "inference.GRPCInferenceService", "cellserve.v1.Sequences", "sums", "sums/1"):
        assert await check(harness, service) == Status.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await check(harness, "nobody")
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_closed_server_is_not_serving_anything(harness: Harness) -> None:
    harness.server.show_models()
    harness.server.close()
    harness.server.show_models()
    for service in ("", "sums", "cellserve.v1.Sequences"):
        assert await check(harness, service) == Status.NOT_SERVING


async def test_every_watcher_sees_each_change_and_the_end(harness: Harness) -> None:
    stub = health_pb2_grpc.HealthStub(harness.channel)
    first, second = (stub.Watch(health_pb2.HealthCheckRequest(service="more")) for _ in range(2))
    for watch in (first, second):
        assert (await watch.read()).status == Status.SERVICE_UNKNOWN
    harness.add("more", FakeNetwork(2))
    harness.server.show_models()
    for watch in (first, second):
        assert (await watch.read()).status == Status.SERVING
    first.cancel()
    harness.server.close()
    assert (await second.read()).status == Status.NOT_SERVING
    assert await second.read() is grpc.aio.EOF


async def test_a_change_between_two_looks_of_a_watcher_is_not_missed() -> None:
    health = HealthServicer(())
    watch = health.Watch(health_pb2.HealthCheckRequest(service="m"), None)
    assert (await anext(watch)).status == Status.SERVICE_UNKNOWN
    health.set_models({"m": False})  # while nobody waits
    assert (await asyncio.wait_for(anext(watch), 30)).status == Status.NOT_SERVING
    health.set_models({"m": True})
    assert (await asyncio.wait_for(anext(watch), 30)).status == Status.SERVING


async def test_reflection_lists_the_services(harness: Harness) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(harness.channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {service.name for service in (await call.read()).list_services_response.service}
    await call.done_writing()
    assert {"inference.GRPCInferenceService", "cellserve.v1.Sequences", "grpc.health.v1.Health"} <= names


async def test_where_live_sequences_are_refused_health_says_so_and_the_server_serves(harness: Harness) -> None:
    harness.server.show_store("the store is away")
    assert await check(harness, "cellserve.v1.Sequences/live") == Status.NOT_SERVING
    for service in ("", "cellserve.v1.Sequences", "sums"):
        assert await check(harness, service) == Status.SERVING
    harness.server.show_models()
    call = health_pb2_grpc.HealthStub(harness.channel).Check(health_pb2.HealthCheckRequest())
    await call
    assert "the store is away" in dict(list(await call.trailing_metadata()))["cellserve-health-detail"]
    harness.server.show_store(None)
    assert await check(harness, "cellserve.v1.Sequences/live") == Status.SERVING
