"""Connections full of damaged frames: valid calls of gRPC on HTTP/2, cut, flipped, spliced, doubled and shuffled by a seed.

Knows bytes and no server.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    head,
    joined,
    message,
)

Call = tuple[bytes, tuple[bytes, ...]]  # a method's path, and the messages of one call of it
Frames = list[Frame]

_MOST_CALLS: Final = 4
_MUTATIONS: Final = (0, 0, 1, 1, 1, 2, 4)  # of one connection's frames
_NUMBERS: Final = (0, 1, 2, 3, 5, 100, 16_383, 16_384, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class FrameCase:
    """What one connection sends, in pieces. waits: for an answer before it leaves. leaves: with an end, or without a word."""

    pieces: tuple[bytes, ...]
    waits: bool
    says_goodbye: bool

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def frame_cases(calls: Sequence[Call], number: int, seed: int) -> list[FrameCase]:
    """The same for the same seed."""
    dice = random.Random(seed)
    return [_case(dice, calls) for _ in range(number)]


def _case(dice: random.Random, calls: Sequence[Call]) -> FrameCase:
    frames = _valid(dice, calls)
    for _ in range(dice.choice(_MUTATIONS)):
        frames = dice.choice(_ON_FRAMES)(dice, frames)
    data = PREFACE + joined(frames)
    for _ in range(dice.choice((0, 0, 0, 0, 1, 3))):
        data = dice.choice(_ON_BYTES)(dice, data)
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 0, 1, 3))))
    pieces = tuple(data[first:last] for first, last in zip([0, *cuts], [*cuts, len(data)]) if first < last)
    return FrameCase(pieces, dice.random() < 0.6, dice.random() < 0.8)


def _valid(dice: random.Random, calls: Sequence[Call]) -> Frames:
    """Calls side by side, their frames in an order in which they may come."""
    streams = [_of_call(dice, 2 * number + 1, *dice.choice(calls)) for number in range(dice.randrange(1, _MOST_CALLS + 1))]
    frames = [
        Frame(SETTINGS, 0, 0, dice.choice((lambda _: b"", lambda _: b"", _usual_settings, _usual_settings, _some_settings))(dice))
    ]
    if dice.random() < 0.7:
        frames.append(Frame(SETTINGS, ACK, 0, b""))
    waiting, open_streams = list(streams), list[Frames]()
    while waiting or open_streams:
        if waiting and (not open_streams or dice.random() < 0.4):
            open_streams.append(waiting.pop(0))
            stream = open_streams[-1]
        else:
            stream = dice.choice(open_streams)
        frames.append(stream.pop(0))
        while stream and stream[0].kind == CONTINUATION:
            frames.append(stream.pop(0))
        open_streams = [each for each in open_streams if each]
    return frames


def _of_call(dice: random.Random, stream_id: int, path: bytes, messages: tuple[bytes, ...]) -> Frames:
    block = head(path, *dice.sample(_MORE_HEADERS, dice.randrange(3)))
    frames: Frames = []
    if dice.random() < 0.2:
        middle = dice.randrange(len(block))
        frames += [Frame(HEADERS, 0, stream_id, block[:middle]), Frame(CONTINUATION, END_HEADERS, stream_id, block[middle:])]
    else:
        frames.append(Frame(HEADERS, END_HEADERS, stream_id, block))
    data = b"".join(map(message, messages))
    pieces = dice.randrange(1, 4)
    step = max(1, -(-len(data) // pieces))
    payloads = [data[first : first + step] for first in range(0, len(data), step)] or [b""]
    frames += [Frame(DATA, 0, stream_id, payload) for payload in payloads]
    frames[-1] = frames[-1]._replace(flags=END_STREAM)
    if dice.random() < 0.15:
        frames.append(Frame(RST_STREAM, 0, stream_id, (8).to_bytes(4, "big")))
    return frames


def _usual_settings(dice: random.Random) -> bytes:
    """The window of each stream, and the largest frame."""
    window, size = dice.choice((0, 1, 100, 65_535, 2**31 - 1)), dice.choice((16_384, 2**24 - 1))
    return (4).to_bytes(2, "big") + window.to_bytes(4, "big") + (5).to_bytes(2, "big") + size.to_bytes(4, "big")


def _some_settings(dice: random.Random) -> bytes:
    return b"".join(
        dice.randrange(12).to_bytes(2, "big") + dice.choice(_NUMBERS).to_bytes(4, "big") for _ in range(dice.randrange(4))
    )


_MORE_HEADERS: Final = [
    (b"grpc-timeout", b"5S"),
    (b"grpc-timeout", b"1n"),
    (b"grpc-timeout", b"later"),
    (b"grpc-encoding", b"gzip"),
    (b"grpc-encoding", b"strange"),
    (b"key-bin", b"AAEC"),
    (b"key-bin", b"??"),
    (b"user-agent", b"fuzz"),
    (b"content-length", b"7"),
    (b"x", b"y" * 300),
]


# --- on frames ---


def _doubled(dice: random.Random, frames: Frames) -> Frames:
    where = dice.randrange(len(frames))
    return [*frames[: where + 1], *[frames[where]] * dice.choice((1, 1, 2, 50)), *frames[where + 1 :]]


def _dropped(dice: random.Random, frames: Frames) -> Frames:
    where = dice.randrange(len(frames))
    return frames[:where] + frames[where + 1 :] or frames


def _moved(dice: random.Random, frames: Frames) -> Frames:
    moved = list(frames)
    moved.insert(dice.randrange(len(moved)), moved.pop(dice.randrange(len(moved))))
    return moved


def _shuffled(dice: random.Random, frames: Frames) -> Frames:
    return dice.sample(frames, len(frames))


def _with_another_stream(dice: random.Random, frames: Frames) -> Frames:
    return _replaced(dice, frames, stream_id=dice.choice((0, 1, 2, 3, 5, 7, 99, 2**31 - 1)))


def _with_other_flags(dice: random.Random, frames: Frames) -> Frames:
    return _replaced(dice, frames, flags=dice.randrange(256))


def _of_another_kind(dice: random.Random, frames: Frames) -> Frames:
    return _replaced(dice, frames, kind=dice.choice((*range(12), 255)))


def _shortened(dice: random.Random, frames: Frames) -> Frames:
    where = dice.randrange(len(frames))
    return _replaced(dice, frames, where, payload=frames[where].payload[: dice.randrange(len(frames[where].payload) + 1)])


def _with_a_strange_message(dice: random.Random, frames: Frames) -> Frames:
    """Its flag or its length is wrong."""
    length = dice.choice(_NUMBERS).to_bytes(4, "big")
    return _replaced(dice, frames, kind=DATA, payload=bytes([dice.choice((0, 1, 2, 255))]) + length + dice.randbytes(20))


def _beside_a_stranger(dice: random.Random, frames: Frames) -> Frames:
    number, stream_id = dice.choice(_NUMBERS), dice.choice((0, 1, 3, 5, 7))
    strangers = (
        Frame(PING, dice.choice((0, ACK)), 0, dice.randbytes(8)),
        Frame(WINDOW_UPDATE, 0, stream_id, number.to_bytes(4, "big")),
        Frame(SETTINGS, 0, 0, _some_settings(dice)),
        Frame(RST_STREAM, 0, stream_id, number.to_bytes(4, "big")),
        Frame(PRIORITY, 0, stream_id, dice.randbytes(5)),
        Frame(GOAWAY, 0, 0, bytes(4) + number.to_bytes(4, "big") + b"bye"),
        Frame(CONTINUATION, dice.choice((0, END_HEADERS)), stream_id, dice.randbytes(10)),
        Frame(dice.randrange(256), dice.randrange(256), stream_id, dice.randbytes(dice.randrange(40))),
    )
    where = dice.randrange(len(frames) + 1)
    return [*frames[:where], dice.choice(strangers), *frames[where:]]


def _replaced(dice: random.Random, frames: Frames, where: int | None = None, **parts: int | bytes) -> Frames:
    where = dice.randrange(len(frames)) if where is None else where
    return [*frames[:where], frames[where]._replace(**parts), *frames[where + 1 :]]


_ON_FRAMES: Final[list[Callable[[random.Random, Frames], Frames]]] = [
    _doubled,
    _dropped,
    _moved,
    _shuffled,
    _with_another_stream,
    _with_other_flags,
    _of_another_kind,
    _shortened,
    _with_a_strange_message,
    _beside_a_stranger,
    _beside_a_stranger,
]


# --- on bytes ---


def _truncated(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flipped(dice: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 5))):
        changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _spliced(dice: random.Random, data: bytes) -> bytes:
    first, second = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
    return data[:first] + data[second:]


def _with_noise(dice: random.Random, data: bytes) -> bytes:
    where = dice.randrange(len(data) + 1)
    return data[:where] + dice.randbytes(dice.randrange(1, 30)) + data[where:]


_ON_BYTES: Final[list[Callable[[random.Random, bytes], bytes]]] = [_truncated, _flipped, _flipped, _spliced, _with_noise]
