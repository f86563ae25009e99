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


def test_a_burst_to_an_idle_server_is_not_taken_for_a_queue() -> None:
    """Sixty calls of 40 KB come at once, when nothing had been read for a while: how fast they are read is not known yet."""
    unread = Unread(0.0)
    for tick in range(1, 100):
        unread.received(100)  # there was no more to read
        assert unread.behind_seconds(0.02 * tick, 0) == 0.0
    assert unread.behind_seconds(2.0, 2_400_000) == 0.0
    unread.received(1_200_000)
    assert unread.behind_seconds(2.02, 1_200_000) == pytest.approx(0.02)
    unread.received(1_200_000)
    assert unread.behind_seconds(2.04, 0) == 0.0


def test_a_loop_that_was_held_for_a_moment_is_not_taken_for_one_that_never_reads() -> None:
    unread = Unread(0.0)
    assert unread.behind_seconds(0.02, 2_400_000) == 0.0
    assert unread.behind_seconds(0.04, 2_400_000) <= 0.2


def test_what_is_not_read_at_all_is_the_further_behind_the_longer_it_is_not() -> None:
    unread = Unread(0.0)
    behind = [unread.behind_seconds(0.02 * tick, 1_000_000) for tick in range(1, 100)]
    assert behind == sorted(behind)
    assert behind[-1] > 10.0
