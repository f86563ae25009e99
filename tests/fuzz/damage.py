"""Bytes damaged without regard to what they mean, and bytes that only look like protobuf."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, message: bytes) -> bytes:
    """`message` with one to four bytes or stretches changed, taken out, put in or repeated."""
    data = bytearray(message)
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        start = draw(st.integers(0, len(data) - 1))
        end = min(len(data), start + draw(st.sampled_from((1, 1, 2, 8, 64))))
        how = draw(st.sampled_from(("flip", "replace", "cut", "repeat", "truncate")))
        if how == "flip":
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "replace":
            data[start:end] = draw(st.binary(max_size=8))
        elif how == "cut":
            del data[start:end]
        elif how == "repeat":
            data[end:end] = data[start:end] * draw(st.sampled_from((1, 2, 50)))
        else:
            del data[start:]
    return bytes(data)


@st.composite
def lookalikes(draw: st.DrawFn) -> bytes:
    """Fields with numbers and wire types that a message may have, and contents that it does not expect there."""
    data = bytearray()
    for _ in range(draw(st.integers(0, 5))):
        number, wire_type = draw(st.integers(0, 12)), draw(st.integers(0, 7))
        data.append(number << 3 & 0x7F | wire_type)
        contents = draw(st.binary(max_size=12))
        if wire_type == 2:
            data += bytes([draw(st.sampled_from((len(contents), len(contents) + 1, 0x7F)))])
        data += contents
    return bytes(data)
