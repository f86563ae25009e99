"""Live sequences as the benchmarks drive them: bare messages on one stream, the same for every server. Prints nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from cellserve.service.pb import cellserve_pb2 as pb

_STREAM = "/cellserve.v1.Sequences/Stream"


class FeedStream:
    """One open stream. positions: of each sequence, which is named by its number."""

    def __init__(self, channel: grpc.aio.Channel, model: str, features: int) -> None:
        self._call: Any = channel.stream_stream(
            _STREAM, request_serializer=pb.StreamRequest.SerializeToString, response_deserializer=pb.StreamReply.FromString
        )()
        self._model = model
        self._step = pb.Tensor(shape=(1, features), data=np.full(features, 0.5, np.float32).tobytes())
        self.positions: list[int] = []

    async def open(self, count: int, in_flight: int = 256) -> None:
        """`count` more sequences."""
        requests = (
            pb.StreamRequest(open=pb.OpenRequest(model=self._model, sequence_id=str(number)))
            for number in range(len(self.positions), len(self.positions) + count)
        )
        await self._exchange(list(requests), in_flight)
        self.positions += [0] * count

    async def feed_all(self, in_flight: int = 256) -> None:
        """One step to each."""
        await self._exchange([self._feed(number) for number in range(len(self.positions))], in_flight)

    async def end_all(self, in_flight: int = 256) -> None:
        close = [pb.CloseRequest(model=self._model, sequence_id=str(number)) for number in range(len(self.positions))]
        await self._exchange([pb.StreamRequest(close=each) for each in close], in_flight)
        self.positions = []

    async def feed(self, number: int) -> float:
        """One step; the seconds until its reply."""
        request = self._feed(number)
        started = time.perf_counter()
        await self._call.write(request)
        reply = await self._call.read()
        seconds = time.perf_counter() - started
        _require_no_error(reply)
        return seconds

    async def tick(self, period_seconds: float, duration_seconds: float) -> list[float]:
        """Each sequence one step every `period_seconds`, evenly spread; the latency of each step from when it was due.

        A step whose predecessor is unanswered is sent all the same, as a sensor would.
        """
        due: dict[str, float] = {}
        latencies: list[float] = []
        steps = round(len(self.positions) * duration_seconds / period_seconds)
        reading = asyncio.create_task(self._read(steps, due, latencies))
        gap = period_seconds / len(self.positions)
        began = time.perf_counter()
        for step in range(steps):
            ahead = began + step * gap - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            given = str(step)
            due[given] = began + step * gap
            request = self._feed(step % len(self.positions))
            request.id = given
            await self._call.write(request)
        await reading
        return latencies

    def close(self) -> None:
        self._call.cancel()

    async def _read(self, count: int, due: dict[str, float], latencies: list[float]) -> None:
        for _ in range(count):
            reply = await self._call.read()
            _require_no_error(reply)
            latencies.append(time.perf_counter() - due.pop(reply.id))

    async def _exchange(self, requests: Sequence[pb.StreamRequest], in_flight: int) -> None:
        for start in range(0, len(requests), in_flight):
            part = requests[start : start + in_flight]
            for request in part:
                await self._call.write(request)
            for _ in part:
                _require_no_error(await self._call.read())

    def _feed(self, number: int) -> pb.StreamRequest:
        position = self.positions[number]
        self.positions[number] = position + 1
        feed = pb.FeedRequest(model=self._model, sequence_id=str(number), position=position, inputs=self._step)
        return pb.StreamRequest(feed=feed)


def _require_no_error(reply: pb.StreamReply) -> None:
    if reply.HasField("error"):
        raise RuntimeError(f"{reply.error.reason}: {reply.error.message}")
