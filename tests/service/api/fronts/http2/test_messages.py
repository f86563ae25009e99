"""Messages cut out of a stream of bytes: whole wherever the bytes are split, unpacked within bounds, refused when damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.fronts.http2.headers import Unreadable
from cellserve.service.api.fronts.http2.messages import MessageReader, prefix

MOST_BYTES = 1000
PACKERS: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"deflate": zlib.compress}


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 20), max_size=60), st.sampled_from([None, *PACKERS]))
def test_messages_are_the_same_wherever_the_bytes_are_split(
    messages: list[bytes], cuts: list[int], encoding: bytes | None
) -> None:
    pack = PACKERS.get(encoding or b"")
    data = b"".join(framed(message) if pack is None else framed(pack(message), 1) for message in messages)
    reader = MessageReader(encoding or b"identity", MOST_BYTES)
    found: list[bytes] = []
    for length in cuts:
        found += reader.feed(data[:length])
        data = data[length:]
    found += reader.feed(data)
    reader.end()
    assert found == messages


def test_a_stream_may_be_split_at_every_byte() -> None:
    messages = [b"", b"one", b"", b"two" * 30]
    data = b"".join(map(framed, messages))
    for cut in range(len(data) + 1):
        reader = MessageReader(b"identity", MOST_BYTES)
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == messages
        reader.end()
    reader = MessageReader(b"identity", MOST_BYTES)
    assert [message for byte in data for message in reader.feed(bytes([byte]))] == messages


def test_the_prefix_is_what_is_read() -> None:
    assert MessageReader(b"identity", MOST_BYTES).feed(prefix(3) + b"abc") == [b"abc"]


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\0", framed(b"abc")[:-1], framed(b"abc") + b"\0"])
def test_an_end_within_a_message_is_told(data: bytes) -> None:
    reader = MessageReader(b"identity", MOST_BYTES)
    reader.feed(data)
    with pytest.raises(Unreadable, match="in the middle of one") as refused:
        reader.end()
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("flag", [2, 7, 128, 255])
def test_an_unknown_flag_is_told(flag: int) -> None:
    with pytest.raises(Unreadable, match=f"the flag {flag}") as refused:
        MessageReader(b"identity", MOST_BYTES).feed(framed(b"abc", flag))
    assert refused.value.code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("already", [0, 4])
def test_a_large_message_is_refused_when_its_length_is_known(already: int) -> None:
    data = b"\0" + (MOST_BYTES + 1).to_bytes(4, "big")
    reader = MessageReader(b"identity", MOST_BYTES)
    assert reader.feed(data[:already]) == []
    with pytest.raises(Unreadable, match="1001 bytes, and at most 1000") as refused:
        reader.feed(data[already:])
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert MessageReader(b"identity", MOST_BYTES).feed(framed(bytes(MOST_BYTES))) == [bytes(MOST_BYTES)]


@pytest.mark.parametrize("encoding", PACKERS)
def test_compressed_messages_may_unpack_to_as_much_as_plain_ones(encoding: bytes) -> None:
    pack = PACKERS[encoding]
    assert MessageReader(encoding, MOST_BYTES).feed(framed(pack(bytes(MOST_BYTES)), 1)) == [bytes(MOST_BYTES)]
    with pytest.raises(Unreadable, match="unpacked more than 1000") as refused:
        MessageReader(encoding, MOST_BYTES).feed(framed(pack(bytes(MOST_BYTES + 1)), 1))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_bomb_is_not_unpacked(encoding: bytes) -> None:
    bomb = PACKERS[encoding](bytes(300_000_000 // 1000))
    with pytest.raises(Unreadable, match="unpacked more"):
        MessageReader(encoding, MOST_BYTES).feed(framed(bomb[:1000], 1))


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-5], lambda packed: packed[:8], lambda packed: b"", lambda packed: b"x" * 20]
)
def test_a_damaged_message_is_told(encoding: bytes, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unreadable, match="damaged") as refused:
        MessageReader(encoding, MOST_BYTES).feed(framed(damage(PACKERS[encoding](b"abc" * 100)), 1))
    assert refused.value.code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_flipped_bit_is_noticed_by_the_checksum(encoding: bytes) -> None:
    packed = bytearray(PACKERS[encoding](b"abc" * 100))
    packed[-6] ^= 1
    with pytest.raises(Unreadable, match="damaged"):
        MessageReader(encoding, MOST_BYTES).feed(framed(bytes(packed), 1))


def test_plain_messages_may_come_beside_compressed_ones() -> None:
    reader = MessageReader(b"gzip", MOST_BYTES)
    assert reader.feed(framed(b"plain") + framed(gzip.compress(b"packed"), 1)) == [b"plain", b"packed"]


@pytest.mark.parametrize(("encoding", "code"), [(b"identity", grpc.StatusCode.INTERNAL), (b"br", grpc.StatusCode.UNIMPLEMENTED)])
def test_a_compression_that_is_not_known_is_told(encoding: bytes, code: grpc.StatusCode) -> None:
    with pytest.raises(Unreadable, match="gzip and deflate") as refused:
        MessageReader(encoding, MOST_BYTES).feed(framed(b"abc", 1))
    assert refused.value.code is code
