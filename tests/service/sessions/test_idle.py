"""Who has been idle the longest, of all models, in memory and on disk; and that pins count them."""

from __future__ import annotations

from typing import Any, cast

from cellserve.service.engine.facts import VersionKey
from cellserve.service.sessions.idle import IdleSessions
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.tombstones import SessionKey


class PinAlone:
    """Only what is counted on a pin."""

    def __init__(self) -> None:
        self.key = VersionKey("digits", 1)
        self.idle = self.parked = 0


PARKED = cast(Any, object())


def session(pin: PinAlone, name: str, used_seconds: float, model: str = "digits", *, parked: bool = False) -> Session:
    made = Session(SessionKey(model, name))
    made.pin, made.used_seconds = cast(Pin, pin), used_seconds
    made.parked = PARKED if parked else None
    return made


def test_the_longest_idle_of_all_models_wherever_their_states_are() -> None:
    idle, pin = IdleSessions(), PinAlone()
    young, old = session(pin, "a", 3.0), session(pin, "b", 2.0, "words")
    parked = session(pin, "c", 1.0, parked=True)
    for one in (young, old):
        idle.add(one)
    idle.add_parked(parked)
    assert idle.longest(in_memory=False) is parked
    assert idle.longest(in_memory=True) is old
    assert (pin.idle, pin.parked) == (2, 1)


def test_the_coldest_are_of_one_model_and_no_more_than_asked_for() -> None:
    idle, pin = IdleSessions(), PinAlone()
    rows = [session(pin, str(number), float(number)) for number in range(4)]
    other = session(pin, "other", 0.5, "words")
    for one in (*rows, other):
        idle.add(one)
    assert idle.coldest(2) == rows[:2]
    idle.remove(rows[0])
    assert idle.coldest(5) == [other]


def test_whoever_is_taken_out_leaves_nothing_behind() -> None:
    idle, pin = IdleSessions(), PinAlone()
    parked, looked_at = session(pin, "a", 1.0, parked=True), session(pin, "b", 2.0, parked=True)
    idle.add_parked(parked)
    idle.add(looked_at)  # worked with since it was parked
    assert [model for model, _ in idle.queues()] == ["digits", "digits"]
    for one in (looked_at, parked):
        idle.remove(one)
    assert idle.queues() == []
    assert (pin.idle, pin.parked) == (0, 0)
    assert idle.longest(in_memory=False) is None
    assert idle.coldest(3) == []
