"""A server at a glance, from the series that it really shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cellserve.service.overview.facts import LiveSequences, Refusal, Run, Traffic, Version
from cellserve.service.overview.look import Look
from cellserve.service.overview.overview import overview
from tests.service.overview.told import Told


@pytest.fixture
def told() -> Told:
    return Told()


def test_traffic_is_what_came_between_the_looks(told: Told) -> None:
    told.answer(100)
    told.refuse("RESOURCE_EXHAUSTED", "OVERLOADED")
    before = told.look(10.0)
    told.answer(40)
    told.feed()
    told.refuse("RESOURCE_EXHAUSTED", "OVERLOADED")
    told.refuse("CANCELLED", "CANCELLED")
    told.refuse("INTERNAL", "INTERNAL")
    traffic = overview(before, told.look(20.0)).traffic
    assert traffic == Traffic(
        requests=4.3,
        answered=4.0,
        cancelled=0.1,
        refused=0.1,
        failed=pytest.approx(0.1),
        feeds=0.1,
        timesteps=0.6,
        mean_rows=2.0,
        mean_padding_ratio=0.25,
    )


def test_latencies_are_by_implementation_and_those_without_traffic_are_left_out(told: Told) -> None:
    before = told.look(0.0)
    told.answer(10)
    told.answer(30, "packed")
    busy, other = overview(before, told.look(10.0)).runs
    assert replace(busy, p50_seconds=None, p99_seconds=None) == Run(
        "digits", "3", "packed", 3.0, None, None, pytest.approx(0.001), pytest.approx(0.002)
    )
    assert busy.p50_seconds == pytest.approx(0.00375)  # in the bucket from 2.5 to 5 ms
    assert busy.p99_seconds == pytest.approx(0.004975)
    assert other.implementation == "fused"


def test_versions_say_what_they_answer_and_what_waits_for_them(told: Told) -> None:
    seen = overview(told.look(0.0), told.look(1.0))
    new, old = seen.versions
    answers = {"": 1.0, "trial": 0.75}
    assert new == Version("digits", "3", "READY", answers, (), 70.0, 2.0, 2.0, 6.0, 4e6, 320.0)
    assert (old.version, old.answers, old.standing_in) == ("2", {"stable": 1.0, "trial": 0.25}, ("stable",))
    assert seen.not_loaded == 1


def test_refusals_of_now_come_first_and_old_ones_stay(told: Told) -> None:
    told.refuse("INVALID_ARGUMENT", "INVALID_INPUT")
    before = told.look(0.0)
    told.refuse("RESOURCE_EXHAUSTED", "OVERLOADED", cause="deadline", token="the web shop")
    refusals = overview(before, told.look(2.0)).refusals
    assert set(refusals[:3]) == {
        Refusal("reason", "OVERLOADED", 0.5, 1.0),
        Refusal("cause", "deadline", 0.5, 1.0),
        Refusal("token", "the web shop", 0.5, 1.0),
    }
    assert refusals[3:] == (Refusal("reason", "INVALID_INPUT", 0.0, 1.0),)


def test_live_sequences_are_counted_and_their_feeds_timed(told: Told) -> None:
    before = told.look(0.0)
    told.feed()
    (live,) = overview(before, told.look(2.0)).live_sequences
    assert replace(live, p50_seconds=None, p99_seconds=None) == LiveSequences("digits", "3", 1.0, 2.0, 3.0, 96.0, 0.5, None, None)
    assert live.p50_seconds == pytest.approx(0.0015)


def test_the_process_says_what_it_is_and_takes(told: Told) -> None:
    told.connect()
    process = overview(told.look(0.0), told.look(1.0)).process
    assert (process.version, process.front, process.connections) == ("1.2.3", "http2", 7.0)
    assert process.resident_bytes is not None
    assert process.resident_bytes > 1e6
    assert process.certificate_expiry_unix_seconds == 2e9
    assert process.session_store_available is None


def test_a_server_that_shows_nothing_yet_is_told_without_numbers() -> None:
    nothing = Look.at([], 0.0)
    seen = overview(nothing, Look.at([], 1.0))
    assert (seen.runs, seen.versions, seen.refusals, seen.live_sequences) == ((), (), (), ())
    assert (seen.traffic.requests, seen.traffic.mean_rows, seen.process.cpu_cores) == (0.0, None, None)
