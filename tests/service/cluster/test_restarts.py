from __future__ import annotations

from cellserve.service.cluster.restarts import Restarts


def test_what_has_run_for_a_while_is_started_again_at_once() -> None:
    restarts = Restarts()
    assert [restarts.wait_seconds(3600.0) for _ in range(4)] == [0.0] * 4
    assert restarts.count == 4


def test_what_dies_soon_waits_longer_each_time_and_never_too_long() -> None:
    restarts = Restarts()
    assert [restarts.wait_seconds(0.1) for _ in range(4)] == [0.0, 0.5, 1.0, 2.0]
    assert [restarts.wait_seconds(0.1) for _ in range(20)][-1] == 30.0


def test_one_long_life_is_forgiven_what_was_before() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.wait_seconds(0.1)
    assert restarts.wait_seconds(60.0) == 0.0
    assert restarts.wait_seconds(0.1) == 0.0
