"""A server that is told to stop while it is busy: whatever it accepted is answered, whatever it did not is told so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cellserve.service.pb import cellserve_pb2, cellserve_pb2_grpc, open_inference_pb2_grpc
from tests.service.processes import HELD, LIMIT_SECONDS, SERVE, Process, wait_for_rows
from tests.service.served import infer_request, publish

COUNTING = """
import atexit, sys
from cellserve.service.engine.engine import Engine
submit, run_at_once, accepted = Engine.submit, Engine.run_at_once, []
def counted(engine, work):
    accepted.append(submit(engine, work))
    return accepted[-1]
def counted_at_once(engine, *given):
    deliveries = run_at_once(engine, *given)
    accepted.extend(deliveries)
    return deliveries
Engine.submit, Engine.run_at_once = counted, counted_at_once
atexit.register(lambda: print(f"accepted {len(accepted)} rows", file=sys.stderr))
"""
Code = grpc.StatusCode


class Traffic:
    """Clients that ask without a pause until they are refused, and count the rows that they were answered."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.open_inference: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.sequences: Any = cellserve_pb2_grpc.SequencesStub(channel)
        self.rows_answered = 0
        self.refusals: list[str] = []
        self.flowing = asyncio.Event()

    def answered(self, rows: int) -> None:
        self.rows_answered += rows
        if self.rows_answered > 300:
            self.flowing.set()

    def refused(self, error: grpc.aio.AioRpcError) -> None:
        assert error.code() is Code.UNAVAILABLE, error
        self.refusals.append(error.details() or "")

    def stream_refused(self, error: grpc.aio.AioRpcError) -> None:
        """As a call, but grpc.aio's client says INTERNAL of its own accord when it writes as the server's status comes in."""
        if not (error.code() is Code.INTERNAL and "SendMessageOperation" in (error.debug_error_string() or "")):
            self.refused(error)

    async def unary(self, rows: int) -> None:
        request = infer_request(np.zeros((rows, 20, 3), np.float32))
        while True:
            try:
                response = await self.open_inference.ModelInfer(request, timeout=LIMIT_SECONDS)
            except grpc.aio.AioRpcError as error:
                return self.refused(error)
            assert response.outputs[0].shape == [rows, 4]
            self.answered(rows)

    async def stream(self) -> None:
        """Up to 30 Open Inference requests in flight. Each is answered, refused by a message, or the stream says why not."""
        sent, seen, room = [0], set(), asyncio.Semaphore(30)

        async def requests() -> AsyncIterator[Any]:
            while True:
                await room.acquire()
                sent[0] += 1
                yield infer_request(np.zeros((1, 5 + sent[0] % 40, 3), np.float32), request_id=str(sent[0]))

        try:
            async for reply in self.open_inference.ModelStreamInfer(requests(), timeout=LIMIT_SECONDS):
                room.release()
                assert reply.infer_response.id not in seen
                seen.add(reply.infer_response.id)
                if reply.error_message:
                    assert reply.error_message.startswith("[DRAINING]")
                    self.refusals.append(reply.error_message)
                else:
                    self.answered(1)
        except grpc.aio.AioRpcError as error:
            return self.stream_refused(error)
        raise AssertionError("the stream ended as if everything had been answered")

    async def typed_stream(self) -> None:
        """The same through cellserve.v1, two rows each."""
        room = asyncio.Semaphore(20)
        tensor = cellserve_pb2.Tensor(shape=[9, 3], data=np.zeros((9, 3), np.float32).tobytes())
        run = cellserve_pb2.RunRequest(model="small", lengths=[4, 5], inputs=tensor)

        async def requests() -> AsyncIterator[Any]:
            while True:
                await room.acquire()
                yield cellserve_pb2.StreamRequest(run=run)

        try:
            async for reply in self.sequences.Stream(requests(), timeout=LIMIT_SECONDS):
                room.release()
                if reply.HasField("error"):
                    assert (reply.error.code, reply.error.reason) == (14, "DRAINING")
                else:
                    self.answered(2)
        except grpc.aio.AioRpcError as error:
            return self.stream_refused(error)
        raise AssertionError("the stream ended as if everything had been answered")


@pytest.mark.parametrize("lame_duck_seconds", [0.0, 0.2])
async def test_a_stop_under_load_loses_nothing_that_was_accepted(
    tmp_path: Path, processes: list[Process], lame_duck_seconds: float
) -> None:
    publish(tmp_path / "repository")
    server = Process(tmp_path / "repository", COUNTING + SERVE, lame_duck_seconds=lame_duck_seconds)
    processes.append(server)
    port, _ = await asyncio.to_thread(server.ready)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        traffic = Traffic(channel)
        clients = [
            *(traffic.unary(1 + n % 3) for n in range(8)),
            *(traffic.stream() for _ in range(3)),
            *(traffic.typed_stream() for _ in range(2)),
        ]
        tasks = [asyncio.create_task(client) for client in clients]
        await asyncio.wait((asyncio.create_task(traffic.flowing.wait()), *tasks), return_when=asyncio.FIRST_COMPLETED)
        server.process.terminate()
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*tasks)
    code, _, err = await asyncio.to_thread(server.end)
    assert code == 0, err
    accepted = re.search(r"accepted (\d+) rows", err)
    assert accepted, err
    assert traffic.rows_answered == int(accepted[1])
    assert any("[DRAINING]" in refusal for refusal in traffic.refusals)


async def test_whoever_was_answered_last_and_asks_again_is_refused_in_words(tmp_path: Path, processes: list[Process]) -> None:
    publish(tmp_path / "repository")
    server = Process(tmp_path / "repository", HELD + SERVE, at_once_seconds=0)
    processes.append(server)
    port, metrics_port = await asyncio.to_thread(server.ready)
    server.hold.touch()
    request = infer_request(np.zeros((1, 4, 3), np.float32))

    async def answered_and_refused(number: int) -> grpc.aio.AioRpcError:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            await stub.ModelInfer(request, timeout=LIMIT_SECONDS)
            await asyncio.sleep(0.001 * number)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ModelInfer(request, timeout=LIMIT_SECONDS)
            return refused.value

    clients = [asyncio.create_task(answered_and_refused(number)) for number in range(20)]
    await asyncio.to_thread(wait_for_rows, metrics_port, 20 * 4)
    server.process.terminate()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        async with asyncio.timeout(LIMIT_SECONDS):
            async for reply in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
                if reply.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                    break
    server.hold.unlink()
    async with asyncio.timeout(LIMIT_SECONDS):
        refusals = await asyncio.gather(*clients)
    assert {refusal.code() for refusal in refusals} == {Code.UNAVAILABLE}
    assert all("[DRAINING]" in (refusal.details() or "") for refusal in refusals)
    code, _, err = await asyncio.to_thread(server.end)
    assert code == 0, err
