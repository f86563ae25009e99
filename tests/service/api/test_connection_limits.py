"""What one connection may do, as the settings say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.served import Served, infer_request, publish, served


async def test_further_calls_wait_in_the_client(tmp_path: Path) -> None:
    async with served(tmp_path, max_concurrent_calls=1) as server:
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as waited:
            await server.open_inference.ServerLive(pb.ServerLiveRequest(), timeout=0.2)
        assert waited.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        watch.cancel()
        assert (await server.open_inference.ServerLive(pb.ServerLiveRequest(), timeout=30)).live


async def test_an_old_connection_is_cut_and_the_client_comes_again(tmp_path: Path) -> None:
    ages = {"max_connection_age_seconds": 0.2, "max_connection_age_grace_seconds": 0.1}
    async with served(tmp_path, **ages) as server:
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        async with asyncio.timeout(60):
            with pytest.raises(grpc.aio.AioRpcError) as cut:
                [told async for told in watch]  # on a busy machine the first word may come too late already
            assert cut.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await live_at_last(server)


async def live_at_last(server: Served) -> bool:
    """Asked again where the next connection has grown old as well."""
    while True:
        try:
            return bool((await server.open_inference.ServerLive(pb.ServerLiveRequest(), wait_for_ready=True)).live)
        except grpc.aio.AioRpcError as cut:
            if cut.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


async def test_no_more_requests_of_a_stream_are_read_than_the_setting_says(tmp_path: Path) -> None:
    publish(tmp_path)
    request = infer_request(np.zeros((1, 5, 3), np.float32))
    async with served(tmp_path, max_unanswered_per_stream=1) as server:
        requests = [infer_request(np.zeros((1, 1 + n % 9, 3), np.float32), request_id=str(n)) for n in range(50)]
        replies = [reply async for reply in server.open_inference.ModelStreamInfer(iter([request, *requests]))]
    assert [reply.infer_response.id for reply in replies] == ["", *(str(n) for n in range(50))]


async def test_a_message_that_is_too_large_is_refused_and_ends_a_stream(tmp_path: Path) -> None:
    publish(tmp_path)
    async with served(tmp_path, max_message_bytes=10_000) as server:
        large = infer_request(np.zeros((1, 5000, 3), np.float32))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.open_inference.ModelInfer(large)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        stream = server.open_inference.ModelStreamInfer(iter([large]))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        good = infer_request(np.zeros((1, 5, 3), np.float32))
        assert (await server.open_inference.ModelInfer(good)).model_version == "1"
