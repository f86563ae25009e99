"""The last answer of each sequence whose feeds have positions or ids, so that a repeated feed gets it again. Bounded in bytes.

An answer outlives the end of its sequence: the reply to the last feed may be lost like any other. Pure.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from cellserve.service.engine.batch import Delivery
from cellserve.service.sessions.feed import CheckedFeed, Feed, FeedReply
from cellserve.service.sessions.tombstones import SessionKey

_OBJECT_BYTES: Final = 1000  # of an answer without its arrays
_ARRAY_BYTES: Final = 150  # of an array without its numbers
_WANTS_STATE, _WANTS_NONE = (b"|b1()" + bytes([wanted]) for wanted in (True, False))


class Remembered(NamedTuple):
    """position: where the feed was applied. fingerprint: of what was fed."""

    reply: FeedReply
    request_id: str | None
    position: int
    start: bool
    end: bool
    fingerprint: bytes
    bytes: int


class Replies:
    """limit_bytes: of all together; the least recently made are forgotten first. one_bytes: larger ones are not remembered."""

    def __init__(self, limit_bytes: int, one_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._one_bytes = one_bytes
        self._remembered: OrderedDict[SessionKey, Remembered] = OrderedDict()
        self.bytes = 0

    def put(self, key: SessionKey, feed: Feed, checked: CheckedFeed, position: int, reply: FeedReply) -> None:
        """`feed` was applied at `position`. Takes the place of the sequence's earlier answer."""
        self.forget(key)
        if feed.position is None and feed.request_id is None:
            return
        size = _size(reply.delivery)
        if size > min(self._one_bytes, self._limit_bytes):
            return
        kept = replace(reply, delivery=_own(reply.delivery), repeated=True)
        self._remembered[key] = Remembered(kept, feed.request_id, position, feed.start, feed.end, fingerprint(checked), size)
        self.bytes += size
        while self.bytes > self._limit_bytes:
            self.bytes -= self._remembered.popitem(last=False)[1].bytes

    def match(self, key: SessionKey, feed: Feed) -> FeedReply | None:
        """The answer to the very same feed, None if there is none. Raises what `feed.check` raises."""
        known = self._remembered.get(key)
        if known is None or (feed.start, feed.end) != (known.start, known.end):
            return None
        if feed.position != known.position and (feed.request_id is None or feed.request_id != known.request_id):
            return None
        same = fingerprint(feed.check(known.reply.version)) == known.fingerprint
        return known.reply if same else None

    def forget(self, key: SessionKey) -> None:
        known = self._remembered.pop(key, None)
        if known is not None:
            self.bytes -= known.bytes


def fingerprint(checked: CheckedFeed) -> bytes:
    """Equal for plans that feed the same numbers and want the same answer."""
    parts: list[bytes] = []
    for array in (*checked.inputs, checked.mask, checked.initial_state):
        parts += (b"-",) if array is None else (_kind_of(array.dtype, array.shape), array.tobytes())
    return hashlib.blake2b(b"".join((*parts, _WANTS_STATE if checked.want_state else _WANTS_NONE)), digest_size=16).digest()


@lru_cache(maxsize=256)
def _kind_of(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    return f"{dtype.str}{shape}".encode()


def _size(delivery: Delivery | None) -> int:
    arrays = [] if delivery is None else [*delivery.outputs, *([] if delivery.state is None else [delivery.state])]
    return _OBJECT_BYTES + sum(array.nbytes + _ARRAY_BYTES for array in arrays)


def _own(delivery: Delivery | None) -> Delivery | None:
    """With arrays of its own: the engine's may be views of a whole batch."""
    if delivery is None:
        return None
    state = None if delivery.state is None else delivery.state.copy()
    return delivery._replace(outputs=tuple(array.copy() for array in delivery.outputs), state=state)
