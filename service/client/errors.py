"""What a failed call means: the service's own error classes by their reason, and those of the way there.

ServiceError                          see cellserve.service.errors
└── CallFailed                        the call failed on the way, or the server gave no reason that this client knows
    ├── ServiceUnavailable            UNAVAILABLE     nobody answered; safe to try again
    │   ├── StreamBroken              STREAM_BROKEN   … because the stream that carried it ended; see stream.py
    │   └── ServerNotTrusted          NOT_TRUSTED     whoever listens there cannot prove to be that server; not tried again
    ├── MessageTooLarge               MESSAGE_TOO_LARGE
    ├── MethodMissing                 METHOD_MISSING  whatever answers there is not a cellserve of this version
    ├── FeedUnsettled                 FEED_UNSETTLED  whether an earlier feed of the live sequence was consumed is not known
    └── BadReply                      BAD_REPLY       the reply contradicts itself

Every error has `reason`, `field`, `retry_after_seconds` and `request_id` (the line to look for in the server's log).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, Protocol

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from cellserve.service.errors import AccessDenied, Cancelled, DeadlineExpired, InternalFailure, Overloaded, ServiceError
from cellserve.service.pb import cellserve_pb2 as pb

_DETAILS_KEY = "grpc-status-details-bin"
_CANCELLED_HERE: Final = "Locally cancelled"  # how grpc begins its words where it was this process
_REQUEST_ID_KEY = "cellserve-request-id"
_FACTS_PREFIX: Final = "cellserve-"  # trailers that are facts for programs
# In grpc's words, where a connection was made but not secured: another attempt meets the same certificate.
_NOT_TRUSTED: Final = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed", "WRONG_VERSION_NUMBER")
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class CallFailed(ServiceError):
    reason: ClassVar[str] = "CALL_FAILED"


class ServiceUnavailable(CallFailed):
    reason = "UNAVAILABLE"


class ServerNotTrusted(ServiceUnavailable):
    reason = "NOT_TRUSTED"


class MessageTooLarge(CallFailed):
    reason = "MESSAGE_TOO_LARGE"


class MethodMissing(CallFailed):
    reason = "METHOD_MISSING"


class FeedUnsettled(CallFailed):
    reason = "FEED_UNSETTLED"


class BadReply(CallFailed):
    reason = "BAD_REPLY"


class FailedCall(Protocol):
    """What grpc raises, sync or async."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


_BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.UNAVAILABLE: ServiceUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExpired,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.UNIMPLEMENTED: MethodMissing,
    grpc.StatusCode.INTERNAL: InternalFailure,
}


def mirrored(call: FailedCall, target: str) -> ServiceError:
    """The exception that a failed call to `target` becomes, with everything its google.rpc details say."""
    trailers = [(key, value) for key, value in call.trailing_metadata() or ()]
    details = dict(_details(trailers))
    info = details.get(error_details_pb2.ErrorInfo)
    text = call.details() or ""
    if isinstance(info, error_details_pb2.ErrorInfo):
        error = _by_reason(info.reason, call.code())(_without_token(text, info.reason))
    else:
        error = _without_reason(call.code(), text, target)
    error.retry_after_seconds = _retry_after_seconds(details.get(error_details_pb2.RetryInfo))
    error.field = _field(details.get(error_details_pb2.BadRequest))
    error.request_id = _request_id(info, trailers)
    error.metadata = _facts(trailers) | _metadata(info)
    return error


def is_answered(call: FailedCall) -> bool:
    """Whether a call that was to wait for a connection found one."""
    return call.code() is not grpc.StatusCode.DEADLINE_EXCEEDED


def mirrored_message(failure: pb.Error, request_id: str) -> ServiceError:
    """The same for a failure that a stream carries as a message."""
    code = _CODES.get(failure.code, grpc.StatusCode.UNKNOWN)
    error = _by_reason(failure.reason, code)(
        failure.message,
        field=failure.field or None,
        retry_after_seconds=failure.retry_after_seconds or None,
        metadata=dict(failure.metadata),
    )
    error.request_id = request_id or None
    return error


def _by_reason(reason: str, code: grpc.StatusCode) -> type[ServiceError]:
    known = {kind.reason: kind for kind in _family(ServiceError) if "reason" in vars(kind)}
    return known.get(reason) or _BY_CODE.get(code, CallFailed)


def _family(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _family(child)


def _without_token(text: str, reason: str) -> str:
    """The sentence alone: the message repeats the reason for clients that read nothing else."""
    return text.removeprefix(f"[{reason}] ")


def _without_reason(code: grpc.StatusCode, text: str, target: str) -> ServiceError:
    """grpc's own failures, and servers which send no details."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
        return MessageTooLarge(f"{text}; send fewer rows or steps at a time, or raise the server's limit")
    if code is grpc.StatusCode.UNAVAILABLE and any(words in text for words in _NOT_TRUSTED):
        return ServerNotTrusted(f"{target} cannot be trusted to be the server meant: {text}")
    if code is grpc.StatusCode.UNAVAILABLE:
        return ServiceUnavailable(f"no answer from {target}: {text}")
    if code is grpc.StatusCode.CANCELLED and not text.startswith(_CANCELLED_HERE):
        return ServiceUnavailable(f"{target} dropped the call, as a server does that is just stopping: {text}")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return MethodMissing(f"{target} does not offer this call; is it a cellserve server of this version? ({text})")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExpired(f"no answer from {target} within the time given")
    return _BY_CODE.get(code, CallFailed)(text or f"the call to {target} ended with {code.name}")


def _details(trailers: Iterable[tuple[str, str | bytes]]) -> Iterator[tuple[type[Message], Message]]:
    packed = next((value for key, value in trailers if key == _DETAILS_KEY), b"")
    status = status_pb2.Status()
    try:
        status.ParseFromString(packed if isinstance(packed, bytes) else packed.encode())
    except DecodeError:
        return
    for any_message in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest):
            message = kind()
            if any_message.Unpack(message):
                yield kind, message


def _retry_after_seconds(retry: Message | None) -> float | None:
    if not isinstance(retry, error_details_pb2.RetryInfo):
        return None
    return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)


def _field(bad_request: Message | None) -> str | None:
    if not isinstance(bad_request, error_details_pb2.BadRequest) or not bad_request.field_violations:
        return None
    return str(bad_request.field_violations[0].field)


def _metadata(info: Message | None) -> dict[str, str]:
    if not isinstance(info, error_details_pb2.ErrorInfo):
        return {}
    return {name: value for name, value in info.metadata.items() if name != "request_id"}


def _facts(trailers: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    return {
        key: value
        for key, value in trailers
        if key.startswith(_FACTS_PREFIX) and key != _REQUEST_ID_KEY and isinstance(value, str)
    }


def _request_id(info: Message | None, trailers: Iterable[tuple[str, str | bytes]]) -> str | None:
    if isinstance(info, error_details_pb2.ErrorInfo) and "request_id" in info.metadata:
        return str(info.metadata["request_id"])
    return next((str(value) for key, value in trailers if key == _REQUEST_ID_KEY), None)
