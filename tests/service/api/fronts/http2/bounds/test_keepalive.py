"""Whether the other end is still there: asked when silent, dropped without an answer, and dropped if it never greets."""

from __future__ import annotations

from cellserve.service.api.fronts.http2.bounds.keepalive import Keepalive


def test_who_never_greets_is_dropped() -> None:
    keepalive = Keepalive(120.0, 20.0, 1000.0)
    assert keepalive.next_seconds(1000.0) == 1020.0
    assert keepalive.step(1019.9) == "wait"
    assert keepalive.step(1020.0) == "drop"


def test_who_is_silent_is_asked_and_without_an_answer_dropped() -> None:
    keepalive = Keepalive(120.0, 20.0, 1000.0)
    keepalive.heard(1001.0)
    assert keepalive.next_seconds(1001.0) == 1121.0
    assert keepalive.step(1120.9) == "wait"
    assert keepalive.step(1121.0) == "ask"
    assert keepalive.next_seconds(1121.0) == 1141.0
    assert keepalive.step(1140.9) == "wait"
    assert keepalive.step(1141.0) == "drop"


def test_who_answers_is_asked_again_only_after_silence() -> None:
    keepalive = Keepalive(120.0, 20.0, 1000.0)
    keepalive.heard(1001.0)
    assert keepalive.step(1121.0) == "ask"
    keepalive.heard(1121.5)
    assert keepalive.next_seconds(1141.0) == 1241.5
    assert keepalive.step(1141.0) == "wait"
    assert keepalive.step(1241.5) == "ask"


def test_who_greets_is_asked_after_the_silence_however_long_the_patience() -> None:
    keepalive = Keepalive(1.0, 20.0, 1000.0)
    assert keepalive.next_seconds(1000.0) == 1001.0
    keepalive.heard(1000.1)
    assert keepalive.step(1001.0) == "wait"
    assert keepalive.next_seconds(1001.0) == 1001.1
    assert keepalive.step(1001.1) == "ask"
    assert keepalive.next_seconds(1001.1) == 1002.1
    assert keepalive.step(1002.1) == "wait"
    assert keepalive.next_seconds(1002.1) == 1003.1
    assert keepalive.step(1021.1) == "drop"
