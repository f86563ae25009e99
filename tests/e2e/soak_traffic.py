"""Everything at once, for minutes: good clients, hedging ones, streams, live sequences, slow readers, damaged frames, swaps.

Each kind runs by itself until it is cancelled, and counts what it has done. Knows the address of a server, and its models.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np

from cellserve.service.client import AsyncClient, ServiceError, ServiceUnavailable
from cellserve.service.errors import DeadlineExpired, Overloaded
from cellserve.service.pb import open_inference_pb2 as oip
from cellserve.service.registry.model_settings import SETTINGS_FILE
from cellserve.service.registry.repository.repository import Repository
from tests.e2e.models import STEPS, STEPS_WIDTH
from tests.fuzz.cases import INFER, STREAMS
from tests.fuzz.driving import watched
from tests.fuzz.frame_calls import good_calls
from tests.fuzz.frame_cases import frame_cases
from tests.fuzz.frame_driving import FrameFuzz
from tests.fuzz.questions import questions
from tests.http2_frames import PREFACE, call, settings
from tests.patience import Waited

SWAPPED = replace(STEPS, name="swapped")
_PAUSE_SECONDS = 0.02  # between one thing and the next of a kind: the machine is shared
_NO_WINDOW = settings((4, 0))
_BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


def publish_swapped(root: Path) -> None:
    """Two versions, of which none stays loaded that the alias has left."""
    for _ in range(2):
        SWAPPED.publish(Repository(root))
    (root / SWAPPED.name / SETTINGS_FILE).write_text("keep_newest: 0\nkeep_previous: 0\n")


class Traffic:
    """done: how often, by kind. wrong: told for a person. waited: for a processor, as tests/patience.py has it."""

    def __init__(self, url: str, waited: Waited) -> None:
        self._url, self._waited = url, waited
        self._host, _, port = url.rpartition(":")
        self._port = int(port)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def run(self, seconds: float) -> list[float]:
        """Ends with every connection closed: the seconds that each good answer took meanwhile."""
        async with self._channel() as channel, watched(questions(channel, self._waited), self._waited) as witnesses:
            kinds = (
                self.connections,
                self.hedging,
                self.streams,
                self.readers,
                self.stalled,
                self.damaged,
                self.large,
                self.swaps,
            )
            tasks = [asyncio.create_task(self._repeated(kind)) for kind in kinds]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        self.wrong += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
        del tasks, ends
        gc.collect()  # calls that were cancelled keep their connections for as long as their tracebacks are there
        took = [each for witness in witnesses for each in witness.seconds]
        self.done["good answers"] += len(took)
        return took

    async def _repeated(self, kind: Callable[[int], Awaitable[None]]) -> None:
        for number in itertools.count():
            try:
                await kind(number)
                self.done[kind.__name__] += 1
            except (grpc.aio.AioRpcError, ServiceError) as error:
                if not _is_busy(error):
                    raise
                self.done[f"{kind.__name__} that found no time"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def connections(self, number: int) -> None:
        """Opened, asked once, and closed."""
        async with self._channel() as channel:
            await channel.unary_unary(INFER)(_request(3), timeout=60)

    async def hedging(self, number: int) -> None:
        """Twenty calls of which only the first answer is wanted."""
        async with self._channel() as channel:
            calls = [channel.unary_unary(INFER)(_request(50), timeout=60) for _ in range(20)]
            await asyncio.wait([asyncio.ensure_future(_of(each)) for each in calls], return_when=asyncio.FIRST_COMPLETED)
            for each in calls:
                each.cancel()

    async def streams(self, number: int) -> None:
        async with self._channel() as channel:
            stream = channel.stream_stream(STREAMS[0])(iter([_request(1 + each % 9, str(each)) for each in range(30)]))
            replies = [oip.ModelStreamInferResponse.FromString(reply) async for reply in stream]
            if [reply.infer_response.id for reply in replies] != [str(each) for each in range(30)]:
                self.wrong.append(f"a stream was answered with {[reply.infer_response.id for reply in replies]}")

    async def readers(self, number: int) -> None:
        """Take their replies late, or only half of them."""
        async with self._channel() as channel:
            stream = channel.stream_stream(STREAMS[0])(iter([_request(2000)] * 10))
            await stream.read()
            await asyncio.sleep(0.2)
            for _ in range(4 + 5 * (number % 2)):
                await stream.read()

    async def stalled(self, number: int) -> None:
        """Never open their window, and leave after a while."""
        _, writer = await asyncio.open_connection(self._host, self._port)
        try:
            calls = b"".join(call(2 * each + 1, INFER.encode(), _request(1000)) for each in range(10))
            writer.write(PREFACE + _NO_WINDOW + calls)
            await asyncio.sleep(0.3)
        finally:
            writer.transport.abort()

    async def damaged(self, number: int) -> None:
        fuzz = FrameFuzz(self._host, self._port, waited=self._waited)
        await fuzz.send(frame_cases(good_calls(STEPS.name, STEPS_WIDTH), 40, number))
        self.wrong += fuzz.faults

    async def large(self, number: int) -> None:
        async with self._channel() as channel:
            reply = oip.ModelInferResponse.FromString(await channel.unary_unary(INFER)(_request(200_000), timeout=300))
            if reply.model_name != STEPS.name:
                self.wrong.append("a large request was not answered")
        await asyncio.sleep(1.0)

    async def swaps(self, number: int) -> None:
        """An alias moves to the other one of two versions, which is loaded for it while the one before leaves memory."""
        version = 1 + number % 2
        async with AsyncClient(self._url) as client:
            await client.promote(SWAPPED.name, version)
            seen = await client.run(SWAPPED.name, np.zeros((3, STEPS_WIDTH), np.float32))
        if seen.version != version:
            self.wrong.append(f"version {seen.version} answered after {version} was promoted")
        await asyncio.sleep(1.0)

    async def cancelled_together(self, requests: int) -> None:
        """Large ones, all under way at once, twice."""
        for _ in range(2):
            async with self._channel() as channel:
                calls = [channel.unary_unary(INFER)(_request(150_000), timeout=60) for _ in range(requests)]
                waiting = [asyncio.ensure_future(_of(each)) for each in calls]
                await asyncio.sleep(0.3)
                for each in calls:
                    each.cancel()
                await asyncio.wait(waiting)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(self._url, options=options) as channel:
            yield channel


def _is_busy(error: grpc.aio.AioRpcError | ServiceError) -> bool:
    """A machine that others keep busy answers some too late, or not at all; that it answers again is for the witnesses."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _BUSY
    return isinstance(error, Overloaded | DeadlineExpired | ServiceUnavailable)


async def _of(call: Awaitable[bytes]) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call


def _request(steps: int, request_id: str = "") -> bytes:
    inputs = np.zeros((1, steps, STEPS_WIDTH), np.float32)
    request = oip.ModelInferRequest(model_name=STEPS.name, id=request_id, raw_input_contents=[inputs.tobytes()])
    request.inputs.add(name="inputs", datatype="FP32", shape=inputs.shape)
    return request.SerializeToString()
