"""The client for threads: calls that wait for their answer. Re-exported by cellserve.service.client.

Each request is a call of its own: a stream would save a tenth at best, and cost two threads (docs/performance.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, cast, overload

import grpc

from cellserve.service.client.call import CallSettings, RunOptions
from cellserve.service.client.channel import HEALTH_CHECK, Endpoint, is_serving
from cellserve.service.client.errors import FailedCall, is_answered, mirrored
from cellserve.service.client.live.affinity import affinity, sequence_of
from cellserve.service.client.live.conversation import Ask, Talk, asking
from cellserve.service.client.live.info import SequenceInfo, sequence_infos
from cellserve.service.client.live.replay import ReplayLimits
from cellserve.service.client.live.sequence import Course
from cellserve.service.client.live.sync_sequence import LiveSequence
from cellserve.service.client.prediction import Prediction
from cellserve.service.client.publishing.sync_registry import SyncRegistry
from cellserve.service.client.requests import PartLimits, Reference
from cellserve.service.client.retry import Attempts, RetryPolicy
from cellserve.service.client.rows import Input
from cellserve.service.client.settings import DEFAULT_TIMEOUT_SECONDS, DEFAULT_URL, READY_TIMEOUT_SECONDS
from cellserve.service.client.tensors import Array, WireDtype
from cellserve.service.client.transport import CALLS
from cellserve.service.errors import ServiceError
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc

Reply = TypeVar("Reply")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Connection:
    """The client, as its registry uses it."""

    endpoint: Endpoint
    settings: CallSettings
    stub: Any
    call: Callable[..., Any]
    attempt: Callable[..., Any]
    wait: Callable[..., None]


class Client(SyncRegistry):
    """A connection to one server. Threads may share it; the parts of a long batch are sent one after the other."""

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
        wire_dtype: WireDtype = "float32",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """url: host:port, or grpcs://host:port for TLS with the system's root certificates; root_certificates (PEM) ask for TLS
        too, and so does a client_certificate with its client_key (PEM), which a server that checks its clients wants to see.
        server_name: whom the server's certificate names, where that is not the host of the url. credentials: gRPC's own, in
        place of all these. token: sent as `authorization: Bearer`, so use it over TLS. split_key: clients of one key get the
        same version of an alias that is split. wire_dtype: of features on their way to the server; float16 and bfloat16 halve
        the bytes and round the values. Connects with the first call.

        Raises ValueError: an url that is none, or half of a certificate and key.
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
        self._sleep = sleep
        self._channel = self._endpoint.channel()
        sequences = pb_grpc.SequencesStub(self._channel)  # type: ignore[no-untyped-call]
        self._calls: dict[type[Any], Callable[..., Any]] = {kind: getattr(sequences, name) for kind, name in CALLS.items()}
        stub = pb_grpc.RegistryStub(self._channel)  # type: ignore[no-untyped-call]
        self._connection = _Connection(self._endpoint, self._settings, stub, self._send, self._attempt, self._wait)

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
            request = call.request(part, replies[0] if replies else None)
            replies.append(self._send(self._calls[pb.RunRequest], request, call.attempts()))
            call.answered(part)
        return call.prediction(replies)

    def sequence(
        self,
        model: str,
        sequence_id: str | int = "",
        *,
        restart: bool = False,
        initial_state: Mapping[str, Array] | None = None,
        replay: ReplayLimits | None = None,
    ) -> LiveSequence:
        """A live sequence, whose recurrent state the server keeps; `with client.sequence(…) as s` begins and ends it.

        model: as in predict; the version is chosen once. sequence_id: to find it again with attach; default: one that nobody
        else has. restart: even if the id is live. initial_state: by name ("0.h", "0.c" …) [units]; default: zeros.
        replay: how much of what was fed is kept to feed it again to a server that has lost it.
        """
        reference = Reference.parse(model)
        course = Course(reference.model, str(sequence_id), replay or ReplayLimits())
        return self._live(course, lambda: course.opening(reference, restart, initial_state or {}))

    def attach(self, model: str, sequence_id: str | int, *, replay: ReplayLimits | None = None) -> LiveSequence:
        """A sequence that is live already, where the server has it. model: its name. Raises ServiceError."""
        course = Course(model, str(sequence_id), replay or ReplayLimits())
        return self._live(course, course.attaching).open()

    def restore(
        self,
        model: str,
        snapshot: bytes,
        sequence_id: str | int = "",
        *,
        restart: bool = False,
        replay: ReplayLimits | None = None,
    ) -> LiveSequence:
        """A new live sequence where a snapshot was taken, on the same weights. model: its name. Raises ServiceError."""
        course = Course(model, str(sequence_id), replay or ReplayLimits())
        return self._live(course, lambda: course.restoring(snapshot, restart)).open()

    def fork(
        self, model: str, sequence_id: str | int, new_sequence_id: str | int = "", *, replay: ReplayLimits | None = None
    ) -> LiveSequence:
        """A new live sequence where another one stands. model: its name. Raises ServiceError."""
        course = Course(model, str(new_sequence_id), replay or ReplayLimits())
        return self._live(course, lambda: course.forking(str(sequence_id))).open()

    def sequences(self, model: str = "") -> list[SequenceInfo]:
        """Every live sequence of `model`, or of all models; answered on the server's own machine only. Raises ServiceError."""
        return sequence_infos(self._converse(asking(pb.ListSequencesRequest(model=model))))

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

    def _live(self, course: Course, begin: Callable[[], Talk[None]]) -> LiveSequence:
        return LiveSequence(course, self._converse, begin, self._settings.wire_dtype)

    def _converse(self, talk: Talk[Result], timeout_seconds: float | None = None) -> Result:
        deadline_seconds = self._settings.until(timeout_seconds)
        step: Callable[[], Ask] = partial(next, talk)
        while True:
            try:
                ask = step()
            except StopIteration as done:
                return cast(Result, done.value)
            attempts = self._settings.attempts_until(deadline_seconds)
            try:
                reply = self._send(self._calls[type(ask.request)], ask.request, attempts, ask.failed)
                step = partial(talk.send, reply)
            except ServiceError as error:
                step = partial(talk.throw, error)

    def _send(
        self,
        method: Callable[..., Reply],
        request: object,
        attempts: Attempts,
        on_failure: Callable[[ServiceError], None] | None = None,
    ) -> Reply:
        """on_failure: called with each error after which the request is sent again."""
        while True:
            try:
                return self._attempt(method, request, attempts)
            except ServiceError as failure:
                error = failure
            wait_seconds = attempts.wait_seconds_after(error)
            if on_failure is not None:
                on_failure(error)
            self._wait(attempts, wait_seconds, error)

    def _attempt(self, method: Callable[..., Reply], request: object, attempts: Attempts) -> Reply:
        metadata = (*self._endpoint.metadata, *affinity(sequence_of(request)), *attempts.metadata())
        try:
            return method(request, timeout=attempts.time_left_seconds(), metadata=metadata)
        except grpc.RpcError as failure:
            error = mirrored(cast(FailedCall, failure), self._endpoint.target)
        raise error

    def _wait(self, attempts: Attempts, seconds: float, error: ServiceError) -> None:
        self._sleep(seconds)
        if attempts.waits_for_a_connection(error) and not self._connected(attempts.time_left_seconds()):
            raise error

    def _connected(self, timeout_seconds: float) -> bool:
        """Waits until there is a connection, whatever the server then answers; False when there is none in time."""
        check = self._channel.unary_unary(HEALTH_CHECK, request_serializer=bytes, response_deserializer=bytes)
        try:
            check(b"", timeout=timeout_seconds, metadata=self._endpoint.metadata, wait_for_ready=True)
        except grpc.RpcError as failure:
            return is_answered(cast(FailedCall, failure))
        return True
