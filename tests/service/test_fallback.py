"""A whole server whose aliased version was damaged while it was down: it answers by the last one that served, and says so."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.service.api.health import DETAIL_KEY
from cellserve.service.client import AsyncClient
from tests.service.served import Served, infer_request, publish, served

X = np.ones((1, 5, 3), np.float32)


async def answering(server: Served) -> str:
    return str((await server.open_inference.ModelInfer(infer_request(X))).model_version)


async def health(server: Served, name: str) -> tuple[bool, str]:
    """Whether it serves, and the detail."""
    call = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(service=name))
    reply = await call
    detail = next((value for key, value in await call.trailing_metadata() if key == DETAIL_KEY), "")
    return reply.status == health_pb2.HealthCheckResponse.SERVING, str(detail)


def scrape(server: Served) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.running.metrics_port}/metrics") as response:
        return str(response.read().decode())


async def test_it_answers_by_the_last_version_that_served_and_is_loud_about_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(publish, tmp_path, alias="stable")
    async with served(tmp_path) as server:
        assert await answering(server) == "1"
        assert await health(server, "small@stable") == await health(server, "") == (True, "")
        assert 'cellserve_alias_fallback{alias="stable",model="small"} 0.0' in await asyncio.to_thread(scrape, server)
    await asyncio.to_thread(publish, tmp_path, alias="stable")
    weights = tmp_path / "small/2/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with caplog.at_level("ERROR"):
        async with served(tmp_path) as server:
            assert await answering(server) == "1"
            for name in ("", "small"):
                serving, detail = await health(server, name)
                assert serving
                assert detail == "small/1 answers for the alias 'stable', as the last one that served, in place of version 2"
            assert (await health(server, "small@stable"))[0] is False
            assert 'cellserve_alias_fallback{alias="stable",model="small"} 1.0' in await asyncio.to_thread(scrape, server)
            async with AsyncClient(f"127.0.0.1:{server.running.port}") as client:
                listed = {version.version: version for version in await client.versions()}
            assert "in place of version 2" in listed[1].reason
            assert "is not what was published" in listed[2].reason
    assert "answers for the alias 'stable', as the last one that served, in place of version 2" in caplog.text
