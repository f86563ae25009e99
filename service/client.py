"""The Python client, sync and async: arrays in, arrays out. Needs neither torch nor the Open Inference stubs.

    with Client("localhost:8001") as client:
        answer = client.predict("digits", x)                        # one sequence [T, F] → its answer
        answers = client.predict("digits/3", [x, y, z])             # sequences of different lengths → a list
        batch = client.predict("digits@canary", xs, lengths=[8, 5]) # a padded batch [B, T, F] → a batch

Which inputs are one sequence, a list or a batch is told in cellserve.service.client_rows; what else a call takes, in RunOptions.
Every call has a deadline. Errors are those of cellserve.service.errors and cellserve.service.client_errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack, cast, overload

import grpc

from cellserve.service.client_call import Call, CallSettings, RunOptions
from cellserve.service.client_channel import HEALTH_CHECK, Endpoint, is_serving
from cellserve.service.client_errors import (
    AccessDenied,
    BadReply,
    CallFailed,
    FailedCall,
    MessageTooLarge,
    MethodMissing,
    ServiceUnavailable,
    mirrored,
)
from cellserve.service.client_prediction import Prediction
from cellserve.service.client_requests import PartLimits
from cellserve.service.client_retry import RetryPolicy
from cellserve.service.client_rows import Input
from cellserve.service.client_tensors import Array
from cellserve.service.errors import ServiceError
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "BadReply",
    "CallFailed",
    "Client",
    "MessageTooLarge",
    "MethodMissing",
    "PartLimits",
    "Prediction",
    "RetryPolicy",
    "RunOptions",
    "ServiceError",
    "ServiceUnavailable",
]

DEFAULT_URL = "localhost:8001"
DEFAULT_TIMEOUT_SECONDS = 60.0
READY_TIMEOUT_SECONDS = 5.0


class Client:
    """A connection to one server. Threads may share it; the parts of a long batch are sent one after the other."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        root_certificates: bytes | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        limits: PartLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """url: host:port, or grpcs://host:port for TLS with the system's root certificates; root_certificates (PEM) or
        credentials ask for TLS too. token: sent as `authorization: Bearer`, so use it over TLS. Connects with the first call.

        Raises ValueError: an url that is none.
        """
        self._endpoint = Endpoint.of(url, token=token, root_certificates=root_certificates, credentials=credentials)
        self._settings = CallSettings(timeout_seconds, retry or RetryPolicy(), limits or PartLimits(), clock)
        self._sleep = sleep
        self._channel = self._endpoint.channel()
        self._run: Callable[..., pb.RunReply] = pb_grpc.SequencesStub(self._channel).Run  # type: ignore[no-untyped-call]

    @overload
    def predict(self, model: str, x: Array, *, return_state: Literal[False] = False, **options: Unpack[RunOptions]) -> Array: ...
    @overload
    def predict(
        self, model: str, x: Sequence[Any], *, return_state: Literal[False] = False, **options: Unpack[RunOptions]
    ) -> list[Array]: ...
    @overload
    def predict(self, model: str, x: Input, *, return_state: Literal[True], **options: Unpack[RunOptions]) -> Prediction: ...

    def predict(
        self, model: str, x: Input, *, return_state: bool = False, **options: Unpack[RunOptions]
    ) -> Array | list[Array] | Prediction:
        """The model's first output in the form of `x`; with return_state the whole Prediction, final states included.

        model: "name" (the stable version, else the newest), "name/3" or "name@alias".
        x: [T, F] or ids [T] → [units] ([T, units] where the model returns sequences); a list of such → a list;
            [B, T, F] or ids [B, T] → [B, units] ([B, T, units], zeros beyond a row's length).

        Raises ServiceError.
        """
        prediction = self.run(model, x, return_state=return_state, **options)
        return prediction if return_state else prediction.answer

    def run(self, model: str, x: Input, *, return_state: bool = False, **options: Unpack[RunOptions]) -> Prediction:
        """As predict; always the whole answer: every output, version, implementation, timings. Raises ServiceError."""
        call = self._settings.call(model, x, return_state, options)
        replies: list[pb.RunReply] = []
        for part in call.parts:
            replies.append(self._send(call, part, replies[0] if replies else None))
            call.answered(part)
        return call.prediction(replies)

    def ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> bool:
        """Whether the server says that it serves. False as well when nobody answers in time."""
        check = self._channel.unary_unary(HEALTH_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return is_serving(check(b"", timeout=timeout_seconds, metadata=self._endpoint.metadata))
        except grpc.RpcError:
            return False

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _send(self, call: Call, part: range, first: pb.RunReply | None) -> pb.RunReply:
        request, attempts = call.request(part, first), call.attempts()
        while True:
            try:
                return self._run(request, timeout=attempts.time_left_seconds(), metadata=self._endpoint.metadata)
            except grpc.RpcError as failure:
                error = mirrored(cast(FailedCall, failure), self._endpoint.target)
            self._sleep(attempts.wait_seconds_after(error))


class AsyncClient:
    """The same for asyncio. Belongs to the event loop of its first call; many calls, and several parts of each, in flight."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        root_certificates: bytes | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        limits: PartLimits | None = None,
        parts_in_flight: int = 4,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """As Client. parts_in_flight: most parts of one long batch under way at once."""
        self._endpoint = Endpoint.of(url, token=token, root_certificates=root_certificates, credentials=credentials)
        self._settings = CallSettings(timeout_seconds, retry or RetryPolicy(), limits or PartLimits(), clock)
        self._parts_in_flight = parts_in_flight
        self._sleep = sleep
        self._open_channel: grpc.aio.Channel | None = None
        self._open_run: Callable[..., Awaitable[pb.RunReply]] | None = None

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

    async def ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> bool:
        """As Client.ready."""
        check = self._channel.unary_unary(HEALTH_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return is_serving(await check(b"", timeout=timeout_seconds, metadata=self._endpoint.metadata))
        except grpc.RpcError:
            return False

    async def close(self) -> None:
        if self._open_channel is not None:
            await self._open_channel.close(grace=None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def _channel(self) -> grpc.aio.Channel:
        """Made on the running loop, by the first call."""
        if self._open_channel is None:
            self._open_channel = self._endpoint.aio_channel()
        return self._open_channel

    @property
    def _run(self) -> Callable[..., Awaitable[pb.RunReply]]:
        if self._open_run is None:
            self._open_run = pb_grpc.SequencesStub(self._channel).Run  # type: ignore[no-untyped-call]
        return self._open_run

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
        request, attempts = call.request(part, first), call.attempts()
        while True:
            try:
                return await self._run(request, timeout=attempts.time_left_seconds(), metadata=self._endpoint.metadata)
            except grpc.RpcError as failure:
                error = mirrored(cast(FailedCall, failure), self._endpoint.target)
            await self._sleep(attempts.wait_seconds_after(error))
