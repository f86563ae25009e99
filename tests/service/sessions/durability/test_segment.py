"""Segments round trip, and bytes that are none are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from cellserve.service.sessions.durability.revival import newest
from cellserve.service.sessions.durability.segment import DamagedSegment, Segment, SegmentVersion, SessionRecord, decode, encode

OF = SegmentVersion(model="m", version=2, weights_digest="sha256:1", columns=(("0.h", 2), ("0.seen", 1)))


def _segment(*ids: str, position: int = 5, ended: tuple[str, ...] = ()) -> Segment:
    records = [SessionRecord(name, position, 1.5, 2.5, True, ("a-1", "b-2")) for name in ids]
    return Segment(OF, records, np.arange(3 * len(ids), dtype=np.float32).reshape(-1, 3) + position, list(ended))


@pytest.mark.parametrize("segment", [_segment("x", "ÿ\n", ended=("z",)), _segment(), _segment(ended=("a", "b"))])
def test_segments_round_trip(segment: Segment) -> None:
    again = decode(encode(segment))
    assert (again.of, again.records, again.ended) == (segment.of, segment.records, segment.ended)
    np.testing.assert_array_equal(again.states, segment.states)


@pytest.mark.parametrize("name", ["states", "positions", "created", "used", "confirmed", "names"])
def test_tensors_that_do_not_fit_are_refused(name: str) -> None:
    tensors = load(encode(_segment("a", "b")))
    for other in ({**tensors, name: tensors[name][:-1]}, {key: array for key, array in tensors.items() if key != name}):
        with pytest.raises(DamagedSegment):
            decode(save(other))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(DamagedSegment):
        decode(content)


def test_later_segments_outdo_earlier_ones() -> None:
    segments = [_segment("a", "b", "c", position=1), _segment(ended=("a", "b")), _segment("b", "c", position=2)]
    assert {key.session_id: survivor.record.position for key, survivor in newest(segments).items()} == {"b": 2, "c": 2}
