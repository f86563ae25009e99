"""Calls that are answered from their headers alone: told as others are, counted in bulk."""

from __future__ import annotations

from typing import Any

import grpc

from cellserve.service.api.facts import RpcMethod, TurnedAway
from cellserve.service.api.overload.gate import Gate
from cellserve.service.api.overload.turning_away import TurningAway
from cellserve.service.api.status import DETAILS_KEY, REQUEST_ID_KEY
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import CAUSE, RETRY_TICKET_KEY, TURNED_AWAY, Overloaded, TokenMissing

METHOD = RpcMethod("unary", "some.Service", "Method")


class Closed(Gate):
    """Lets only one client in."""

    def passes(self, client: str, dice: float, waited_seconds: float = 0.0) -> bool:
        assert 0.0 <= dice < 1.0
        return client == "ipv4:1.2.3.4:5"


class Caller:
    def __init__(self, peer: str, ticket: str = "") -> None:
        self._peer = peer
        self._ticket = ticket

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ((RETRY_TICKET_KEY, self._ticket),)


class Observer:
    def __init__(self) -> None:
        self.facts: list[TurnedAway] = []

    def on_turned_away(self, fact: TurnedAway) -> None:
        self.facts.append(fact)


def turning_away(observer: Observer) -> TurningAway:
    def error() -> Overloaded:
        return Overloaded("come again", retry_after_seconds=0.5, metadata={CAUSE: TURNED_AWAY}, ticket="t-1")

    return TurningAway(Closed(), lambda ticket: ticket == "now", error, CountedLog("%(total)d refused (%(causes)s)"), observer)  # type: ignore[arg-type]


def test_who_passes_the_gate_is_read() -> None:
    assert turning_away(Observer()).ending(METHOD, Caller("ipv4:1.2.3.4:5")) is None


def test_who_comes_as_it_was_told_is_read() -> None:
    assert turning_away(Observer()).ending(METHOD, Caller("ipv4:9.9.9.9:9", "now")) is None
    assert turning_away(Observer()).ending(METHOD, Caller("ipv4:9.9.9.9:9", "another")) is not None


def test_the_others_are_told_when_to_come_again() -> None:
    turning = turning_away(Observer())
    first, second = (turning.ending(METHOD, Caller("ipv4:9.9.9.9:9")) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert first.details == "[OVERLOADED] come again"
    trailing = dict(first.trailing)
    assert trailing.keys() == {REQUEST_ID_KEY, DETAILS_KEY, RETRY_TICKET_KEY}
    assert trailing[REQUEST_ID_KEY] != dict(second.trailing)[REQUEST_ID_KEY]


def test_who_has_no_right_is_told_so_whether_or_not_the_gate_lets_it_pass_and_counted() -> None:
    observer = Observer()
    turning = turning_away(observer)

    def deny(caller: Any) -> None:
        raise TokenMissing("a token, please")

    for peer in ("ipv4:1.2.3.4:5", "ipv4:9.9.9.9:9"):
        ending = turning.ending(METHOD, Caller(peer), deny)
        assert ending is not None
        assert ending.code is grpc.StatusCode.UNAUTHENTICATED
    turning.settle()
    (fact,) = observer.facts
    assert fact[:4] == (METHOD, "UNAUTHENTICATED", "TOKEN_MISSING", None)
    assert fact.number == 2


def test_they_are_counted_together() -> None:
    observer = Observer()
    turning = turning_away(observer)
    for _ in range(3):
        turning.ending(METHOD, Caller("ipv4:9.9.9.9:9"))
    turning.settle()
    turning.settle()
    (fact,) = observer.facts
    assert fact[:4] == (METHOD, "RESOURCE_EXHAUSTED", "OVERLOADED", TURNED_AWAY)
    assert fact.number == 3
    assert 0.0 < fact.seconds < 1.0
