"""How AsyncClient's requests travel: on a stream that they share, or as calls of their own. Knows no retries.

A request goes alone where it is large (a server refuses a message that is too large together with the stream it came on), when
it is sent again because its stream broke, and to servers that have no streams.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import grpc

from cellserve.service.client.channel import HEALTH_CHECK, Endpoint, is_serving
from cellserve.service.client.errors import FailedCall, MethodMissing, is_answered, mirrored
from cellserve.service.client.live.affinity import Metadata, affinity, sequence_of
from cellserve.service.client.retry import Attempts
from cellserve.service.client.stream import AsyncStream
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc

MOST_STREAMED_BYTES: Final = 1024 * 1024

# By the type of its message: the method of each request of the service Sequences, and its field in a StreamRequest.
CALLS: Final[dict[type[Any], str]] = {
    pb.RunRequest: "Run",
    pb.OpenRequest: "Open",
    pb.FeedRequest: "Feed",
    pb.GetRequest: "Get",
    pb.ListSequencesRequest: "List",
    pb.SnapshotRequest: "Snapshot",
    pb.RestoreRequest: "Restore",
    pb.ForkRequest: "Fork",
    pb.CloseRequest: "Close",
}
_STREAMED: Final[dict[type[Any], str]] = {
    pb.RunRequest: "run",
    pb.OpenRequest: "open",
    pb.FeedRequest: "feed",
    pb.SnapshotRequest: "snapshot",
    pb.CloseRequest: "close",
}

Reply = TypeVar("Reply")
Method = Callable[..., Awaitable[Reply]]


class AsyncTransport:
    """Belongs to the running event loop."""

    def __init__(self, endpoint: Endpoint, streams: bool) -> None:
        self._endpoint = endpoint
        self._streams = streams
        self._streams_key = ""  # by which a proxy chooses the server of the stream
        self._channel = endpoint.aio_channel()
        sequences = pb_grpc.SequencesStub(self._channel)  # type: ignore[no-untyped-call]
        self.registry: Any = pb_grpc.RegistryStub(self._channel)  # type: ignore[no-untyped-call]
        self._calls: dict[type[Any], Method[Any]] = {kind: getattr(sequences, name) for kind, name in CALLS.items()}
        self._stream = AsyncStream(
            lambda: sequences.Stream(metadata=(*endpoint.metadata, *affinity(self._streams_key))), endpoint.target
        )

    async def ask(self, request: Any, attempts: Attempts, *, alone: bool = False) -> Any:
        """The reply to one attempt at a request of the service Sequences. alone: not on the stream.

        Raises ServiceError, StreamBroken too.
        """
        action, routed = _STREAMED.get(type(request)), self._affinity(sequence_of(request))
        alone = alone or bool(attempts.metadata())  # which a stream cannot carry
        if self._streams and not alone and action is not None and request.ByteSize() <= MOST_STREAMED_BYTES:
            try:
                return await self._stream.ask(action, request, attempts.time_left_seconds())
            except MethodMissing:
                self._streams = False
                routed = affinity(sequence_of(request))
        return await self.call(self._calls[type(request)], request, attempts, routed)

    async def call(self, method: Method[Reply], request: object, attempts: Attempts, routed: Metadata = ()) -> Reply:
        """Raises ServiceError."""
        metadata = (*self._endpoint.metadata, *routed, *attempts.metadata())
        try:
            return await method(request, timeout=attempts.time_left_seconds(), metadata=metadata)
        except grpc.RpcError as failure:
            error = mirrored(cast(FailedCall, failure), self._endpoint.target)
        raise error

    async def connected(self, timeout_seconds: float) -> bool:
        """Waits until there is a connection, whatever the server then answers; False when there is none in time."""
        check = self._channel.unary_unary(HEALTH_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            await check(b"", timeout=timeout_seconds, metadata=self._endpoint.metadata, wait_for_ready=True)
        except grpc.RpcError as failure:
            return is_answered(cast(FailedCall, failure))
        return True

    async def ready(self, timeout_seconds: float) -> bool:
        check = self._channel.unary_unary(HEALTH_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            return is_serving(await check(b"", timeout=timeout_seconds, metadata=self._endpoint.metadata))
        except grpc.RpcError:
            return False

    def _affinity(self, sequence_id: str) -> Metadata:
        """Of a call of its own. A stream stays with one server, so what goes beside it should go there too: by the first id."""
        if not self._streams:
            return affinity(sequence_id)
        self._streams_key = self._streams_key or sequence_id or uuid.uuid4().hex
        return affinity(self._streams_key) if sequence_id else ()

    async def close(self) -> None:
        await self._stream.close()
        await self._channel.close(grace=None)
