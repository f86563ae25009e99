"""The one table from error reasons to gRPC statuses, and the google.rpc details that go with them.

Knows no request and no transport: it makes a code, a sentence and trailers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "DEADLINE_EXPIRED": grpc.StatusCode.DEADLINE_EXCEEDED,
    "CANCELLED": grpc.StatusCode.CANCELLED,
    "ACCESS_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    "TOKEN_MISSING": grpc.StatusCode.UNAUTHENTICATED,
    "TOKEN_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "ADMINISTRATION_DENIED": grpc.StatusCode.PERMISSION_DENIED,
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


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """How one error ends a call. details: a serialized google.rpc.Status."""

    code: grpc.StatusCode
    message: str
    details: bytes


def status_of(error: ServiceError, request_id: str) -> ErrorStatus:
    """The status of `error`; the message begins with the reason in brackets, for clients that read nothing else."""
    code = CODES[error.reason]
    message = f"[{error.reason}] {error}"
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = value
    info.metadata["request_id"] = request_id
    _add(status, info)
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        _add(status, error_details_pb2.BadRequest(field_violations=[violation]))
    hint_seconds = retry_after_seconds(error)
    if hint_seconds is not None:
        seconds, nanos = divmod(round(hint_seconds * 1e9), 10**9)
        _add(status, error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos)))
    return ErrorStatus(code, message, status.SerializeToString())


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
