"""Who is near: calls told of and begun, requests on streams, without those that wait for a worker or never began."""

from __future__ import annotations

from cellserve.service.api.presence import Presence


def test_a_client_that_waits_for_each_reply_is_alone() -> None:
    presence = Presence()
    presence.tell(0.0)
    presence.begin_call()
    assert presence.near(0.0) == 1
    presence.end_call()
    assert presence.near(0.0) == 0
    presence.begin_streamed()  # whose reply is being written while the next one is here
    presence.begin_streamed()
    assert presence.near(0.0) == 1


def test_calls_that_grpc_has_told_of_are_near() -> None:
    presence = Presence()
    for _ in range(3):
        presence.tell(5.0)
    presence.begin_call()
    assert presence.near(5.0) == 3


def test_a_call_that_never_begins_is_forgotten() -> None:
    presence = Presence()
    presence.tell(5.0)
    presence.tell(5.009)
    assert presence.near(5.011) == 1
    assert presence.near(5.02) == 0
    presence.begin_call()  # late: it is counted as begun, and nothing else is missed
    assert presence.near(5.02) == 1


def test_those_that_wait_for_a_worker_are_not_near() -> None:
    presence = Presence()
    for _ in range(3):
        presence.begin_streamed()
    presence.leave()
    assert presence.near(0.0) == 1
    presence.come_back()
    assert presence.near(0.0) == 2
    presence.end_streamed(3)
    assert presence.near(0.0) == 0
