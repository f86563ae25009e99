"""The client for asyncio: many calls in flight, on one stream where that is cheaper. Re-exported by cellserve.service.client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, cast, overload

import grpc

from cellserve.service.client.call import Call, CallSettings, RunOptions
from cellserve.service.client.channel import Endpoint
from cellserve.service.client.live.async_sequence import AsyncLiveSequence
from cellserve.service.client.live.conversation import Ask, Talk, asking
from cellserve.service.client.live.info import SequenceInfo, sequence_infos
from cellserve.service.client.live.replay import ReplayLimits
from cellserve.service.client.live.sequence import Course
from cellserve.service.client.prediction import Prediction
from cellserve.service.client.publishing.async_registry import AsyncRegistry
from cellserve.service.client.requests import PartLimits, Reference
from cellserve.service.client.retry import Attempts, RetryPolicy
from cellserve.service.client.rows import Input
from cellserve.service.client.settings import DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, READY_TIMEOUT_SECONDS
from cellserve.service.client.stream import StreamBroken
from cellserve.service.client.tensors import Array, WireDtype
from cellserve.service.client.transport import AsyncTransport, Method, Reply
from cellserve.service.errors import ServiceError
from cellserve.service.pb import cellserve_pb2 as pb

Result = TypeVar("Result")


class AsyncClient(AsyncRegistry):
    """The same for asyncio. Belongs to the event loop of its first call; many calls, and several parts of each, in flight."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        split_key: str | None = None,
        root_certificates: bytes | None = None,
        client_certificate: bytes | None = None,
        client_key: bytes | None = None,
        server_name: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        limits: PartLimits | None = None,
        parts_in_flight: int = 4,
        streams: bool = True,
        wire_dtype: WireDtype = "float32",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """As Client. parts_in_flight: most parts of one long batch under way at once. streams: whether requests share a stream,
        which costs both sides less than calls of their own (docs/performance.md); a stream stays with one server, so say False
        behind a balancer that spreads calls.
        """
        self._endpoint = Endpoint.of(
            url,
            token=token,
            split_key=split_key,
            root_certificates=root_certificates,
            client_certificate=client_certificate,
            client_key=client_key,
            server_name=server_name,
            credentials=credentials,
        )
        self._settings = CallSettings(timeout_seconds, retry or RetryPolicy(), limits or PartLimits(), wire_dtype, clock)
        self._parts_in_flight = parts_in_flight
        self._sleep = sleep
        self._streams = streams
        self._opened: AsyncTransport | None = None
        self._connection = _Connection(self)

    @overload
    async def predict(
        self, model: str, x: Array, *, return_state: Literal[False] = False, **options: Unpack[RunOptions]
    ) -> Array: ...
    @overload
    async def predict(
        self, model: str, x: Sequence[Any], *, return_state: Literal[False] = False, **options: Unpack[RunOptions]
    ) -> list[Array]: ...
    @overload
    async def predict(
        self, model: str, x: Input, *, return_state: Literal[True], **options: Unpack[RunOptions]
    ) -> Prediction: ...

    async def predict(
        self, model: str, x: Input, *, return_state: bool = False, **options: Unpack[RunOptions]
    ) -> Array | list[Array] | Prediction:
        """As Client.predict."""
        prediction = await self.run(model, x, return_state=return_state, **options)
        return prediction if return_state else prediction.answer

    async def run(self, model: str, x: Input, *, return_state: bool = False, **options: Unpack[RunOptions]) -> Prediction:
        """As Client.run."""
        call = self._settings.call(model, x, return_state, options)
        first = await self._answer(call, call.parts[0], None)
        return call.prediction([first, *await self._remaining(call, first)])

    def sequence(
        self,
        model: str,
        sequence_id: str | int = "",
        *,
        restart: bool = False,
        initial_state: Mapping[str, Array] | None = None,
        replay: ReplayLimits | None = None,
    ) -> AsyncLiveSequence:
        """A live sequence, whose recurrent state the server keeps; `async with client.sequence(…) as s` begins and ends it.

        model: as in predict; the version is chosen once. sequence_id: to find it again with attach; default: one that nobody
        else has. restart: even if the id is live. initial_state: by name ("0.h", "0.c" …) [units]; default: zeros.
        replay: how much of what was fed is kept to feed it again to a server that has lost it.
        """
        reference = Reference.parse(model)
        course = Course(reference.model, str(sequence_id), replay or ReplayLimits())
        return self._live(course, lambda: course.opening(reference, restart, initial_state or {}))

    async def attach(self, model: str, sequence_id: str | int, *, replay: ReplayLimits | None = None) -> AsyncLiveSequence:
        """A sequence that is live already, where the server has it. model: its name. Raises ServiceError."""
        course = Course(model, str(sequence_id), replay or ReplayLimits())
        return await self._live(course, course.attaching).open()

    async def restore(
        self,
        model: str,
        snapshot: bytes,
        sequence_id: str | int = "",
        *,
        restart: bool = False,
        replay: ReplayLimits | None = None,
    ) -> AsyncLiveSequence:
        """A new live sequence where a snapshot was taken, on the same weights. model: its name. Raises ServiceError."""
        course = Course(model, str(sequence_id), replay or ReplayLimits())
        return await self._live(course, lambda: course.restoring(snapshot, restart)).open()

    async def fork(
        self, model: str, sequence_id: str | int, new_sequence_id: str | int = "", *, replay: ReplayLimits | None = None
    ) -> AsyncLiveSequence:
        """A new live sequence where another one stands. model: its name. Raises ServiceError."""
        course = Course(model, str(new_sequence_id), replay or ReplayLimits())
        return await self._live(course, lambda: course.forking(str(sequence_id))).open()

    async def sequences(self, model: str = "") -> list[SequenceInfo]:
        """Every live sequence of `model`, or of all models; answered on the server's own machine only. Raises ServiceError."""
        return sequence_infos(await self._converse(asking(pb.ListSequencesRequest(model=model))))

    async def ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> bool:
        """As Client.ready."""
        return await self._transport.ready(timeout_seconds)

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def _transport(self) -> AsyncTransport:
        """Made on the running loop, by the first call."""
        if self._opened is None:
            self._opened = AsyncTransport(self._endpoint, self._streams)
        return self._opened

    async def _remaining(self, call: Call, first: pb.RunReply) -> list[pb.RunReply]:
        gate = asyncio.Semaphore(self._parts_in_flight)

        async def answer(part: range) -> pb.RunReply:
            async with gate:
                return await self._answer(call, part, first)

        tasks = [asyncio.ensure_future(answer(part)) for part in call.parts[1:]]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, call: Call, part: range, first: pb.RunReply | None) -> pb.RunReply:
        reply = await self._send(call, part, first)
        call.answered(part)
        return reply

    async def _send(self, call: Call, part: range, first: pb.RunReply | None) -> pb.RunReply:
        request, attempts, alone = call.request(part, first), call.attempts(), False
        while True:
            try:
                return cast(pb.RunReply, await self._transport.ask(request, attempts, alone=alone))
            except ServiceError as failure:
                error = failure
            alone = isinstance(error, StreamBroken)  # if it was this request that broke it, it now learns so
            await self._wait(attempts, attempts.wait_seconds_after(error), error)

    def _live(self, course: Course, begin: Callable[[], Talk[None]]) -> AsyncLiveSequence:
        return AsyncLiveSequence(course, self._converse, begin, self._settings.wire_dtype)

    async def _converse(self, talk: Talk[Result], timeout_seconds: float | None = None) -> Result:
        deadline_seconds = self._settings.until(timeout_seconds)
        step: Callable[[], Ask] = partial(next, talk)
        while True:
            try:
                ask = step()
            except StopIteration as done:
                return cast(Result, done.value)
            try:
                step = partial(talk.send, await self._deliver(ask, deadline_seconds))
            except ServiceError as error:
                step = partial(talk.throw, error)

    async def _deliver(self, ask: Ask, deadline_seconds: float) -> Any:
        attempts, alone = self._settings.attempts_until(deadline_seconds), False
        while True:
            try:
                return await self._transport.ask(ask.request, attempts, alone=alone)
            except ServiceError as failure:
                error = failure
            alone = isinstance(error, StreamBroken)
            wait_seconds = attempts.wait_seconds_after(error)
            ask.failed(error)
            await self._wait(attempts, wait_seconds, error)

    async def _call(
        self,
        method: Method[Reply],
        request: object,
        attempts: Attempts,
        on_failure: Callable[[ServiceError], None] | None = None,
    ) -> Reply:
        while True:
            try:
                return await self._transport.call(method, request, attempts)
            except ServiceError as failure:
                error = failure
            wait_seconds = attempts.wait_seconds_after(error)
            if on_failure is not None:
                on_failure(error)
            await self._wait(attempts, wait_seconds, error)

    async def _wait(self, attempts: Attempts, seconds: float, error: ServiceError) -> None:
        """Before the attempt after `error`. Raises it where it waits for a connection, and there is none in time."""
        await self._sleep(seconds)
        if attempts.waits_for_a_connection(error) and not await self._transport.connected(attempts.time_left_seconds()):
            raise error


class _Connection:
    """The client, as its registry uses it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.endpoint = client._endpoint
        self.settings = client._settings
        self.call = client._call
        self.wait = client._wait

    @property
    def stub(self) -> Any:
        return self._client._transport.registry

    async def attempt(self, method: Method[Reply], request: object, attempts: Attempts) -> Reply:
        return await self._client._transport.call(method, request, attempts)
