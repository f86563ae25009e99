"""gRPC's headers and trailers: deadlines, metadata, status messages, and what is no call of gRPC."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.fronts.http2.headers import (
    Fields,
    HeadReader,
    NotGrpc,
    RequestHead,
    Unreadable,
    read_head,
    trailers,
    write_metadata,
)

CALL = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/some.Service/Method"),
    (b":authority", b"server"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


def test_a_plain_call() -> None:
    head = read_head(CALL)
    assert head == ("/some.Service/Method", None, b"identity", ())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"250m", 0.25),
        (b"1000u", 1e-3),
        (b"99999999n", 0.099999999),
        (b"0S", 0.0),
        (b"99999999H", 99999999 * 3600.0),
    ],
)
def test_deadlines(text: bytes, seconds: float) -> None:
    assert read_head((*CALL, (b"grpc-timeout", text))).timeout_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", [b"", b"1", b"S", b"-1S", b"+1S", b"1.5S", b"1s", b"123456789S", "١S".encode(), b"1S ", b"0x1S"])
def test_what_is_no_deadline_is_told(text: bytes) -> None:
    with pytest.raises(Unreadable, match="no deadline") as refused:
        read_head((*CALL, (b"grpc-timeout", text)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"CONNECT", b"post"])
def test_another_method_of_http_is_not_allowed(method: bytes) -> None:
    with pytest.raises(NotGrpc) as refused:
        read_head(((b":method", method), *CALL[1:]))
    assert refused.value.status == 405


@pytest.mark.parametrize(
    "kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc+json", b"application/grpc;q=1"]
)
def test_the_content_types_of_grpc(kind: bytes) -> None:
    assert read_head((*CALL[:-1], (b"content-type", kind))).path == "/some.Service/Method"


@pytest.mark.parametrize(
    "kind", [b"", b"application/json", b"application/grpc-web", b"application/grpc-web+proto", b"application/grpcs"]
)
def test_other_content_types_are_unsupported(kind: bytes) -> None:
    with pytest.raises(NotGrpc) as refused:
        read_head((*CALL[:-1], (b"content-type", kind)))
    assert refused.value.status == 415


def test_a_call_without_a_content_type_is_unsupported() -> None:
    with pytest.raises(NotGrpc) as refused:
        read_head(CALL[:-1])
    assert refused.value.status == 415


def test_metadata_keep_their_order_and_their_doubles_and_leave_out_what_is_the_protocols() -> None:
    sent = (
        (b"b", b"2"),
        (b"user-agent", b"grpc"),
        (b"a", b"1"),
        (b"b", b"3"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-timeout", b"1S"),
    )
    head = read_head((*CALL, *sent))
    assert head.metadata == (("b", "2"), ("user-agent", "grpc"), ("a", "1"), ("b", "3"))
    assert head.encoding == b"gzip"


@given(st.binary(max_size=50), st.booleans())
def test_binary_metadata_come_as_bytes_padded_or_not(value: bytes, padded: bool) -> None:
    text = b64encode(value) if padded else b64encode(value).rstrip(b"=")
    assert read_head((*CALL, (b"key-bin", text))).metadata == (("key-bin", value),)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5))
def test_binary_metadata_that_were_joined_by_commas_are_taken_apart(values: list[bytes]) -> None:
    joined = b",".join(b64encode(value).rstrip(b"=") for value in values)
    assert read_head((*CALL, (b"key-bin", joined))).metadata == tuple(("key-bin", value) for value in values)


@pytest.mark.parametrize("text", [b"?", b"a", b"ab c", b"====", b"YQ=a", b"\xff"])
def test_binary_metadata_that_are_not_base64_are_told(text: bytes) -> None:
    with pytest.raises(Unreadable, match="'key-bin' is not in base64") as refused:
        read_head((*CALL, (b"key-bin", text)))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_metadata_are_bounded() -> None:
    fitting = tuple((b"key", b"v" * (1024 - 32 - 3)) for _ in range(16))
    assert len(read_head((*CALL, *fitting)).metadata) == 16
    with pytest.raises(Unreadable, match="16385 bytes") as refused:
        read_head((*CALL, *fitting[1:], (b"key", b"v" * (1025 - 32 - 3))))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@given(st.text(max_size=200))
def test_any_message_survives_as_printable_ascii(message: str) -> None:
    written = dict(trailers(grpc.StatusCode.INTERNAL, message.encode("utf-8", "replace").decode(), ()))
    text = written.get(b"grpc-message", b"")
    assert all(0x20 <= byte < 0x7F for byte in text)
    assert unquote(text.decode("ascii")) == message.encode("utf-8", "replace").decode()
    assert written[b"grpc-status"] == b"13"


def test_a_message_is_left_readable() -> None:
    written = dict(trailers(grpc.StatusCode.NOT_FOUND, 'no "model" [x]: 100% gone, é\n', ()))
    assert written[b"grpc-message"] == b'no "model" [x]: 100%25 gone, %C3%A9%0A'


def test_no_message_is_no_field() -> None:
    assert trailers(grpc.StatusCode.OK, "", (("key", "value"), ("data-bin", b"\0\xff"))) == [
        (b"grpc-status", b"0"),
        (b"key", b"value"),
        (b"data-bin", b"AP8"),
    ]


@pytest.mark.parametrize(
    ("value", "written"), [("a\nb", b"a\\nb"), ("\0", b"\\x00"), ("é", b"\\xe9"), ("a b~", b"a b~"), ("", b"")]
)
def test_no_value_of_metadata_breaks_the_stream(value: str, written: bytes) -> None:
    assert write_metadata((("key", value),)) == [(b"key", written)]


@given(st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9._-]{0,9}-bin", fullmatch=True), st.binary(max_size=30)), max_size=4))
def test_written_binary_metadata_are_read_again(metadata: list[tuple[str, bytes]]) -> None:
    assert read_head((*CALL, *write_metadata(metadata))).metadata == tuple(metadata)


HEADS = st.lists(
    st.sampled_from(
        [
            (b":method", b"GET"),
            (b"grpc-timeout", b"1S"),
            (b"grpc-timeout", b"bad"),
            (b"grpc-encoding", b"gzip"),
            (b"key", b"value"),
            (b"key", b"v" * 1100),
            (b"key-bin", b"AAE"),
            (b"key-bin", b"!"),
        ]
    ),
    max_size=4,
)


@given(st.lists(HEADS, max_size=30))
def test_what_a_connection_remembers_is_what_is_read(heads: list[list[tuple[bytes, bytes]]]) -> None:
    """Nothing of the calls that cannot be read, nor of long ones, and no more than a few."""
    reader = HeadReader()

    def outcome(read: Callable[[Fields], RequestHead], fields: Fields) -> Any:
        try:
            return read(fields)
        except (NotGrpc, Unreadable) as error:
            return type(error), str(error)

    for further in heads:
        fields = [*CALL, *further]
        assert outcome(reader.read, fields) == outcome(read_head, fields)
        assert len(reader._known) <= 8
        assert all(len(value) < 1024 for said in reader._known for _, value in said)


def test_equal_heads_are_read_once() -> None:
    reader = HeadReader()
    assert reader.read([*CALL]) is reader.read(list(CALL))
