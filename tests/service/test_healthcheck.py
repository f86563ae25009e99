"""The health check against a real gRPC health service, and against nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cellserve.service.healthcheck import main


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def url(servicer: health.HealthServicer) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_serving_server_is_healthy(url: str, servicer: health.HealthServicer) -> None:
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    assert main([url]) == 0


def test_a_draining_server_is_not(url: str, servicer: health.HealthServicer, capsys: pytest.CaptureFixture[str]) -> None:
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert main([url]) == 1
    assert url in capsys.readouterr().err


def test_without_an_argument_the_port_of_the_settings_is_asked(
    url: str, servicer: health.HealthServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    monkeypatch.setenv("CELLSERVE_PORT", url.rpartition(":")[2])
    assert main([]) == 0


def test_nobody_listening_is_unhealthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["127.0.0.1:1"], timeout_seconds=0.5) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err
