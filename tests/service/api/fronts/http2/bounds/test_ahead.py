"""How far a client may send ahead of the front."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.fronts.http2.bounds.ahead import Ahead

MIB = 1 << 20


def test_little_may_wait_to_be_read() -> None:
    assert Ahead().window_bytes == 4 * MIB


def test_what_handlers_do_not_take_leaves_the_room_of_others() -> None:
    ahead = Ahead()
    ahead.received(30 * MIB)
    assert ahead.window_bytes == 64 * MIB
    ahead.taken(29 * MIB)
    assert ahead.window_bytes == 6 * MIB
    ahead.taken(MIB)
    assert ahead.window_bytes == 4 * MIB


@given(st.lists(st.integers(0, 1 << 29), max_size=20))
def test_it_is_bounded_and_never_narrower_than_for_nobody(received: list[int]) -> None:
    ahead = Ahead()
    for received_bytes in received:
        ahead.received(received_bytes)
        assert 4 * MIB <= ahead.window_bytes <= 1024 * MIB
