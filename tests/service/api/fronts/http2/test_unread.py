"""How far the front is behind its clients."""

from __future__ import annotations

import pytest

from cellserve.service.api.fronts.http2.unread import Unread


def test_what_waits_takes_as_long_as_it_took_lately() -> None:
    unread = Unread(0.0)
    for tick in range(1, 100):
        unread.received(20_000)
        behind = unread.behind_seconds(0.02 * tick, 500_000)
    assert behind == pytest.approx(0.5, rel=0.01)


def test_what_has_just_come_is_not_behind() -> None:
    unread = Unread(0.0)
    unread.received(1000)
    assert unread.behind_seconds(0.02, 10_000) == 0.0


def test_a_large_message_after_little_is_not_taken_for_a_queue() -> None:
    unread = Unread(0.0)
    for tick in range(1, 100):
        unread.received(100)  # there was no more to read
        assert unread.behind_seconds(0.02 * tick, 0) == 0.0
    unread.received(2_000_000)
    assert unread.behind_seconds(2.0, 1_000_000) == pytest.approx(0.01)


def test_what_is_not_read_at_all_is_far_behind() -> None:
    unread = Unread(0.0)
    assert unread.behind_seconds(0.02, 1_000_000) > 100.0
