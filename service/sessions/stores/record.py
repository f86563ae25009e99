"""What a store holds of one sequence, as bytes: where it stands, its state, and the last request with its answer. Pure.

A stamp (store.py), then fixed facts, then who it is as JSON (the same bytes from feed to feed), the last request, the state.
"""

from __future__ import annotations

import itertools
import secrets
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cellserve.service.sessions.stores.store import LIVE, RUN_BYTES, STAMP_BYTES

_PLACE: Final = struct.Struct(">q 16s B")  # of the stamp: position, token, kind
_FACTS: Final = struct.Struct("<4s ? ? I d I I I")  # format, confirmed, behind, version, created; bytes of what follows
_LAST: Final = struct.Struct("<?? q 16s H")
_FORMAT: Final = b"csr1"
_LARGEST_POSITION: Final = 1 << 62
HEAD_BYTES: Final = 4096  # most of them are whole in it but for reply and state


class Kind(IntEnum):
    LIVE = LIVE
    ENDED = 1
    EVICTED = 2
    RETIRED = 3


class DamagedRecord(ValueError):
    """Bytes that no `encode` made."""


class Identity(BaseModel):
    """What stays the same from feed to feed. replica: who cached it last."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str
    session_id: str
    weights_digest: str
    epoch: str = Field(max_length=64)
    former: tuple[str, ...] = Field(default=(), max_length=16)
    replica: str = ""

    @property
    def json_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class LastFeed(NamedTuple):
    """The request that was applied last, at `position`. fingerprint: of what was fed. reply: None: too large to be kept."""

    request_id: str
    position: int
    start: bool
    end: bool
    fingerprint: bytes
    reply: bytes | None


class Record(NamedTuple):
    """identity: as `Identity.json_bytes` made it. behind: more was fed to it than this, perhaps. state: [width] float32.

    created_seconds: since 1970. state_bytes: of a live sequence, also in a head that does not hold the state.
    """

    kind: Kind
    position: int
    version: int
    created_seconds: float
    confirmed: bool
    behind: bool
    identity: bytes
    last: LastFeed | None
    state: npt.NDArray[np.float32]
    state_bytes: int = 0


def tokens() -> Callable[[], bytes]:
    """Makes tokens of 16 bytes that nobody else makes."""
    begin, numbers = secrets.token_bytes(8), itertools.count()
    return lambda: begin + next(numbers).to_bytes(8, "big")


def encode(record: Record, token: bytes) -> bytes:
    """Without the run of the store."""
    last = b"" if record.last is None else _encode_last(record.last)
    state = b"" if record.kind is not Kind.LIVE else record.state.tobytes()
    return b"".join(
        (
            _PLACE.pack(record.position, token, record.kind),
            _FACTS.pack(
                _FORMAT,
                record.confirmed,
                record.behind,
                record.version,
                record.created_seconds,
                len(record.identity),
                len(last),
                len(state),
            ),
            record.identity,
            last,
            state,
        )
    )


def decode(content: bytes) -> tuple[Record, Identity]:
    """Raises DamagedRecord: not what `encode` makes, or with a state that is not finite."""
    record, identity, at = _decode_head(content)
    if len(content) != at + record.state_bytes:
        raise DamagedRecord(f"it has {len(content)} bytes, and says {at + record.state_bytes}")
    if record.state_bytes % 4:
        raise DamagedRecord(f"its state has {record.state_bytes} bytes, which are not whole numbers")
    state = np.frombuffer(content, np.float32, offset=at)
    if not np.isfinite(state).all():
        raise DamagedRecord("its state holds values that are not finite")
    return record._replace(state=state), identity


def decode_head(content: bytes) -> tuple[Record, Identity]:
    """Of the first bytes of a record: all but its state and its last request. Raises DamagedRecord."""
    record, identity, _ = _decode_head(content, with_last=False)
    return record, identity


def run_of(content: bytes) -> bytes:
    """The run of the store that a record with its run, or a stamp, was written in."""
    return content[:RUN_BYTES]


def stamp_of(content: bytes) -> bytes:
    return content[:STAMP_BYTES]


def _decode_head(content: bytes, *, with_last: bool = True) -> tuple[Record, Identity, int]:
    """And where the state begins."""
    try:
        position, _, kind = _PLACE.unpack_from(content, RUN_BYTES)
        form, confirmed, behind, version, created, names_bytes, last_bytes, state_bytes = _FACTS.unpack_from(content, STAMP_BYTES)
        if form != _FORMAT:
            raise DamagedRecord(f"its format is {form!r}, and this server knows {_FORMAT!r}")
        at = STAMP_BYTES + _FACTS.size
        names = content[at : at + names_bytes]
        identity = Identity.model_validate_json(names)
        at += names_bytes
        last = _decode_last(content[at : at + last_bytes]) if with_last and last_bytes else None
        if with_last and len(content) < at + last_bytes:
            raise DamagedRecord("its last request is cut short")
        kind = Kind(kind)
    except DamagedRecord:
        raise
    except (struct.error, ValidationError, ValueError) as error:
        raise DamagedRecord(str(error).partition("\n")[0]) from error
    if not 0 <= position < _LARGEST_POSITION or version < 1 or not np.isfinite(created):
        raise DamagedRecord(f"it stands at {position} of version {version}, begun at {created}")
    nothing = np.zeros(0, np.float32)
    record = Record(kind, position, version, created, confirmed, behind, names, last, nothing, state_bytes)
    return record, identity, at + last_bytes


def _encode_last(last: LastFeed) -> bytes:
    name = last.request_id.encode()
    head = _LAST.pack(last.start, last.end, last.position, last.fingerprint, len(name))
    return b"".join((head, name, b"-" if last.reply is None else b"+", last.reply or b""))


def _decode_last(content: bytes) -> LastFeed:
    start, end, position, fingerprint, name_bytes = _LAST.unpack_from(content)
    at = _LAST.size + name_bytes
    name, kept = content[_LAST.size : at].decode(), content[at : at + 1]
    if kept not in (b"-", b"+"):
        raise DamagedRecord("its last request is cut short")
    return LastFeed(name, position, start, end, fingerprint, content[at + 1 :] if kept == b"+" else None)
