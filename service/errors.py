"""What can go wrong between a request and its answer. Each error has a stable reason token; none knows a status code.

ServiceError
├── InvalidInput                 INVALID_INPUT              the request contradicts the model's description
├── UnknownModel                 MODEL_UNKNOWN
├── UnknownVersion               VERSION_UNKNOWN
├── VersionUnavailable           VERSION_UNAVAILABLE        published, but loading, being replaced or unloaded on request
├── VersionFailed                VERSION_FAILED             published, but it cannot be loaded; trying again will not help
├── UnknownImplementation        IMPLEMENTATION_UNKNOWN
├── UnsupportedImplementation    IMPLEMENTATION_UNSUPPORTED
├── NotCausal                    NOT_CAUSAL                 a session on a model that needs the whole sequence
├── SequenceUnknown              SEQUENCE_UNKNOWN           never started, or ended
├── SequenceExpired              SEQUENCE_EXPIRED           idle or alive for too long
├── SequenceEvicted              SEQUENCE_EVICTED           its place went to others
├── SequenceLost                 SEQUENCE_LOST              the server has restarted without it
├── SequenceExists               SEQUENCE_EXISTS            started already
├── SequencePosition             SEQUENCE_POSITION          the server stands elsewhere in the sequence; metadata says where
├── WrongWeights                 SEQUENCE_WEIGHTS           a snapshot of other weights
├── VersionRetired               SEQUENCE_VERSION_RETIRED   the version it ran on has left the server
├── StoreUnavailable             STORE_UNAVAILABLE          the store of live sequences cannot be reached; whole requests go on
├── NotOffered                   NOT_OFFERED                a feature that this server does not have (yet)
├── Overloaded                   OVERLOADED                 refused at the door; try again after retry_after_seconds
├── Draining                     DRAINING                   the server is stopping
├── DeadlineExpired              DEADLINE_EXPIRED
├── Cancelled                    CANCELLED                  by the client
├── AccessDenied                 ACCESS_DENIED              the family of the next three
│   ├── TokenMissing             TOKEN_MISSING              the server wants a token, and the call carried none
│   ├── TokenInvalid             TOKEN_INVALID              the server does not know the token of the call
│   └── AdministrationDenied     ADMINISTRATION_DENIED      the caller may not administer this server
├── RepositoryError              REPOSITORY                 the model repository refuses an operation
│   ├── RepositoryAway           REPOSITORY_AWAY            its object store cannot be asked; what is loaded goes on being served
│   ├── RepositoryFull           REPOSITORY_FULL            its disk has no room
│   └── VersionRefused           VERSION_REFUSED            what was sent did not pass the gate that every version passes
├── UploadLimit                  UPLOAD_LIMIT               a publication is too large, or one too many
├── UploadDamaged                UPLOAD_DAMAGED             what came is not what was declared; it is dropped
├── UploadBusy                   UPLOAD_BUSY                somebody else has this publication in hand
└── InternalFailure              INTERNAL                   ours; the cause is in the log under the request id
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

RETRY_TICKET_KEY: Final = "cellserve-retry-ticket"  # metadata of a refusal, and of the attempt that comes back as it was told
CAUSE: Final = "cause"  # in the metadata of an Overloaded: what was short
TURNED_AWAY: Final = "loop"  # … : time to read the call


class ServiceError(Exception):
    """Base of everything a user of the service may be told. str(error) is a whole sentence for that user.

    metadata: facts for programs, as google.rpc.ErrorInfo carries them. request_id: of the request that met it, once known; the
    line to look for in the server's log. ticket: with which to come again after retry_after_seconds, ahead of newcomers.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
        ticket: str | None = None,
    ) -> None:
        super().__init__(message)
        self.ticket = ticket
        self.metadata: Mapping[str, str] = metadata or {}
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        self.request_id: str | None = None


class InvalidInput(ServiceError):
    reason = "INVALID_INPUT"


class UnknownModel(ServiceError):
    reason = "MODEL_UNKNOWN"


class UnknownVersion(ServiceError):
    reason = "VERSION_UNKNOWN"


class VersionUnavailable(ServiceError):
    reason = "VERSION_UNAVAILABLE"


class VersionFailed(ServiceError):
    reason = "VERSION_FAILED"


class UnknownImplementation(ServiceError):
    reason = "IMPLEMENTATION_UNKNOWN"


class UnsupportedImplementation(ServiceError):
    reason = "IMPLEMENTATION_UNSUPPORTED"


class NotCausal(ServiceError):
    reason = "NOT_CAUSAL"


class SequenceUnknown(ServiceError):
    reason = "SEQUENCE_UNKNOWN"


class SequenceExpired(ServiceError):
    reason = "SEQUENCE_EXPIRED"


class SequenceEvicted(ServiceError):
    reason = "SEQUENCE_EVICTED"


class SequenceLost(ServiceError):
    """metadata: epoch, the server's."""

    reason = "SEQUENCE_LOST"


class SequenceExists(ServiceError):
    reason = "SEQUENCE_EXISTS"


class SequencePosition(ServiceError):
    """metadata: position (time steps that the server has consumed) and epoch, the server's."""

    reason = "SEQUENCE_POSITION"

    @property
    def position(self) -> int | None:
        """Time steps that the server has consumed; None where it does not say."""
        position = self.metadata.get("position", "")
        return int(position) if position.isdigit() else None


class WrongWeights(ServiceError):
    reason = "SEQUENCE_WEIGHTS"


class VersionRetired(ServiceError):
    reason = "SEQUENCE_VERSION_RETIRED"


class StoreUnavailable(ServiceError):
    reason = "STORE_UNAVAILABLE"


class NotOffered(ServiceError):
    reason = "NOT_OFFERED"


class Overloaded(ServiceError):
    """metadata: cause, one of deadline, wait, proportion, late, steps and loop (docs/overload.md)."""

    reason = "OVERLOADED"


class Draining(ServiceError):
    reason = "DRAINING"


class DeadlineExpired(ServiceError):
    reason = "DEADLINE_EXPIRED"


class Cancelled(ServiceError):
    reason = "CANCELLED"


class AccessDenied(ServiceError):
    reason = "ACCESS_DENIED"


class TokenMissing(AccessDenied):
    reason = "TOKEN_MISSING"


class TokenInvalid(AccessDenied):
    reason = "TOKEN_INVALID"


class AdministrationDenied(AccessDenied):
    reason = "ADMINISTRATION_DENIED"


class RepositoryError(ServiceError):
    reason = "REPOSITORY"


class RepositoryAway(RepositoryError):
    reason = "REPOSITORY_AWAY"


class RepositoryFull(RepositoryError):
    reason = "REPOSITORY_FULL"


class VersionRefused(RepositoryError):
    reason = "VERSION_REFUSED"


class UploadLimit(ServiceError):
    reason = "UPLOAD_LIMIT"


class UploadDamaged(ServiceError):
    reason = "UPLOAD_DAMAGED"


class UploadBusy(ServiceError):
    reason = "UPLOAD_BUSY"


class InternalFailure(ServiceError):
    reason = "INTERNAL"
