"""What answered before stays for a while: one version for each pointer, by a clock that is passed in."""

from __future__ import annotations

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.policy.previous import Departure, Previous, last_departures

ONE, TWO, THREE = (VersionKey("digits", version) for version in (1, 2, 3))
STABLE, CANARY = ("digits", "stable"), ("digits", "canary")


def ten_seconds(model: str) -> float:
    return 10.0


def test_what_a_pointer_has_left_is_kept_for_its_time() -> None:
    previous = Previous()
    previous.note({STABLE: ONE}, 100.0)
    assert previous.kept(100.0, ten_seconds) == frozenset()
    previous.note({STABLE: TWO}, 200.0)
    assert previous.kept(209.9, ten_seconds) == {ONE}
    assert previous.kept(210.0, ten_seconds) == frozenset()


def test_only_the_last_one_that_a_pointer_has_left_is_kept() -> None:
    previous = Previous()
    for now, key in enumerate((ONE, TWO, THREE)):
        previous.note({STABLE: key}, now)
    assert previous.kept(3.0, ten_seconds) == {TWO}


def test_a_way_back_keeps_what_it_came_from() -> None:
    previous = Previous()
    for now, key in enumerate((ONE, TWO, ONE)):
        previous.note({STABLE: key}, now)
    assert previous.kept(3.0, ten_seconds) == {TWO}


def test_what_a_pointer_that_is_gone_was_answered_by_is_kept() -> None:
    previous = Previous()
    previous.note({STABLE: ONE, CANARY: TWO}, 0.0)
    previous.note({STABLE: ONE}, 1.0)
    assert previous.kept(2.0, ten_seconds) == {TWO}


def test_nothing_is_kept_where_the_owner_wants_none() -> None:
    previous = Previous()
    previous.note({STABLE: ONE}, 0.0)
    previous.note({STABLE: TWO}, 1.0)
    assert previous.kept(1.0, lambda model: 0.0) == frozenset()


def test_what_was_left_before_a_restart_counts_from_then() -> None:
    previous = Previous()
    previous.note({STABLE: TWO}, 100.0)
    previous.recall(last_departures([("stable", None, 90.0), ("stable", 3, 94.0), ("stable", 1, 95.0)], "digits"))
    assert previous.kept(104.9, ten_seconds) == {ONE}
    assert previous.kept(105.0, ten_seconds) == frozenset()


def test_what_this_process_saw_counts_more_than_what_is_recalled() -> None:
    previous = Previous()
    previous.note({STABLE: ONE}, 100.0)
    previous.note({STABLE: TWO}, 101.0)
    previous.recall({STABLE: Departure(THREE, 90.0)})
    assert previous.kept(102.0, ten_seconds) == {ONE}
