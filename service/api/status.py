"""The one table from error reasons to gRPC statuses, and the google.rpc details that go with them.

Knows no request and no transport: it makes a code, a sentence and trailers.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Final, NamedTuple

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cellserve.service.api.call_context import Ending, Metadata
from cellserve.service.errors import RETRY_TICKET_KEY, ServiceError

DOMAIN: Final = "cellserve"
DETAILS_KEY: Final = "grpc-status-details-bin"  # the trailer in which gRPC carries a google.rpc.Status
REQUEST_ID_KEY: Final = "cellserve-request-id"
_TYPES: Final = "type.googleapis.com/"
_PLACE: Final = secrets.token_hex(32)  # begins with what stands for an id until it is known, and in no text that anybody sends

CODES: Final[dict[str, grpc.StatusCode]] = {
    "INVALID_INPUT": grpc.StatusCode.INVALID_ARGUMENT,
    "MODEL_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "VERSION_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "VERSION_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "VERSION_FAILED": grpc.StatusCode.FAILED_PRECONDITION,
    "IMPLEMENTATION_UNKNOWN": grpc.StatusCode.INVALID_ARGUMENT,
    "IMPLEMENTATION_UNSUPPORTED": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_CAUSAL": grpc.StatusCode.FAILED_PRECONDITION,
    "SEQUENCE_UNKNOWN": grpc.StatusCode.NOT_FOUND,
    "SEQUENCE_EXPIRED": grpc.StatusCode.NOT_FOUND,
    "SEQUENCE_EVICTED": grpc.StatusCode.NOT_FOUND,
    "SEQUENCE_LOST": grpc.StatusCode.NOT_FOUND,
    "SEQUENCE_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "SEQUENCE_POSITION": grpc.StatusCode.FAILED_PRECONDITION,
    "SEQUENCE_WEIGHTS": grpc.StatusCode.FAILED_PRECONDITION,
    "SEQUENCE_VERSION_RETIRED": grpc.StatusCode.FAILED_PRECONDITION,
    "STORE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "NOT_OFFERED": grpc.StatusCode.UNIMPLEMENTED,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "RATE_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "DEADLINE_EXPIRED": grpc.StatusCode.DEADLINE_EXCEEDED,
    "CANCELLED": grpc.StatusCode.CANCELLED,
    "ACCESS_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "TOKEN_MISSING": grpc.StatusCode.UNAUTHENTICATED,
    "TOKEN_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "ADMINISTRATION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "MODEL_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "REPOSITORY": grpc.StatusCode.FAILED_PRECONDITION,
    "REPOSITORY_AWAY": grpc.StatusCode.UNAVAILABLE,
    "REPOSITORY_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "VERSION_REFUSED": grpc.StatusCode.FAILED_PRECONDITION,
    "UPLOAD_LIMIT": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "UPLOAD_DAMAGED": grpc.StatusCode.DATA_LOSS,
    "UPLOAD_BUSY": grpc.StatusCode.UNAVAILABLE,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}

# Where an error that may pass with time says nothing itself.
_RETRY_AFTER_SECONDS: Final[dict[str, float]] = {
    "OVERLOADED": 0.1,
    "DRAINING": 1.0,
    "STORE_UNAVAILABLE": 1.0,
    "REPOSITORY_AWAY": 1.0,
    "UPLOAD_BUSY": 1.0,
}


class ErrorStatus(NamedTuple):
    """How one error ends a call. details: a serialized google.rpc.Status."""

    code: grpc.StatusCode
    message: str
    details: bytes


class _Alike(NamedTuple):
    """What is told of errors that differ in nothing but their request. before_id, after_id: a serialized Status around its id."""

    code: grpc.StatusCode
    message: str
    before_id: bytes
    after_id: bytes


def status_of(error: ServiceError, request_id: str) -> ErrorStatus:
    """The status of `error`; the message begins with the reason in brackets, for clients that read nothing else.

    request_id: as RequestIds makes them.
    """
    place = _PLACE[: len(request_id)]
    alike = _alike(error.reason, str(error), tuple(error.metadata.items()), error.field, retry_after_seconds(error), place)
    return ErrorStatus(alike.code, alike.message, alike.before_id + request_id.encode("ascii") + alike.after_id)


@lru_cache(maxsize=512)  # most of a storm's refusals are alike: a fifth of the time
def _alike(
    reason: str,
    sentence: str,
    metadata: tuple[tuple[str, str], ...],
    field: str | None,
    hint_seconds: float | None,
    place: str,
) -> _Alike:
    """place: what stands where the id of the request is to come, and nowhere else."""
    code = CODES[reason]
    message = f"[{reason}] {sentence}"
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message)
    _add(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata={**dict(metadata), "request_id": place}))
    if field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=sentence)
        _add(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if hint_seconds is not None:
        seconds, nanos = divmod(round(hint_seconds * 1e9), 10**9)
        _add(status, error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos)))
    before_id, after_id = status.SerializeToString().split(place.encode("ascii"))
    return _Alike(code, message, before_id, after_id)


def ending_of(error: ServiceError, request_id: str) -> Ending:
    """The same as a call is told it: with the details, and what else its client needs, in the trailers."""
    status = status_of(error, request_id)
    trailing: Metadata = ((REQUEST_ID_KEY, request_id), (DETAILS_KEY, status.details))
    if error.ticket is not None:
        trailing = (*trailing, (RETRY_TICKET_KEY, error.ticket))
    return Ending(status.code, status.message, trailing)


def retry_after_seconds(error: ServiceError) -> float | None:
    """When the same request may succeed, None if it never will or nobody knows."""
    return error.retry_after_seconds or _RETRY_AFTER_SECONDS.get(error.reason)


def _add(status: status_pb2.Status, detail: Message) -> None:
    """As Any.Pack does, which takes twice as long."""
    status.details.add(type_url=_TYPES + detail.DESCRIPTOR.full_name, value=detail.SerializeToString())
