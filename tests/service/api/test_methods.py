"""What surrounds each rpc where the gate is closed: one question, one look at who may call, and every call counted."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from cellserve.service.api.access.rights import Guard, Use, everything
from cellserve.service.api.call_context import Ending
from cellserve.service.api.methods import Methods
from cellserve.service.api.overload.gate import Gate
from cellserve.service.api.overload.turning_away import TurningAway
from cellserve.service.api.rpc import Refusals
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.counted_log import CountedLog
from cellserve.service.errors import CAUSE, TURNED_AWAY, Overloaded, ServiceError, TokenMissing
from tests.service.api.conftest import RecordingDoorObserver

INFER, LIVE, OTHER = "/s.S/Infer", "/s.S/Live", "/s.S/Other"


class Closed(Gate):
    """Lets one client in."""

    asked = 0

    @property
    def open(self) -> bool:
        self.asked += 1
        return False

    def passes(self, client: str, dice: float, waited_seconds: float = 0.0) -> bool:
        return client == "ipv4:1.2.3.4:5"


class Context:
    """Of a call, or a Caller."""

    def __init__(self, peer: str, token: str = "good") -> None:
        self._peer = peer
        self.token = token

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Nobody reads it."""


LET_IN, TURNED = Context("ipv4:1.2.3.4:5"), Context("ipv4:9.9.9.9:9")


class House:
    """Methods behind a closed gate, where each call needs a token. looked: how often a guard has."""

    def __init__(self) -> None:
        self.gate, self.observer, self.at_door, self.looked = Closed(), RecordingDoorObserver(), RequestsAtDoor(), 0
        log = CountedLog("%(total)d (%(causes)s)")
        self.turning_away = TurningAway(self.gate, lambda ticket: False, self._refusal, log, self.observer)
        refusals = Refusals(self.gate, self.turning_away, log)
        self.methods = Methods(self.observer, {INFER, LIVE}, {LIVE}, self, self.at_door, refusals)
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._echo, request_deserializer=bytes)
            for name in ("Infer", "Live", "Other")
        }
        self.methods.add_registered_method_handlers("s.S", handlers)

    def owner(self, caller: Any) -> str | None:
        return "the web shop" if caller.token == "good" else ""

    def use(self, caller: Any) -> Use:
        return everything

    def guard(self, method: str) -> Guard:
        def look(context: Any) -> None:
            self.looked += 1
            if context.token != "good":
                raise TokenMissing("a token, please")

        return look

    def _refusal(self) -> ServiceError:
        return Overloaded("come again", retry_after_seconds=0.5, metadata={CAUSE: TURNED_AWAY})

    async def _echo(self, request: bytes, context: Any) -> bytes:
        return request


@pytest.fixture
def house() -> House:
    return House()


def test_only_inference_that_is_not_live_is_gated(house: House) -> None:
    assert [house.methods.gated(name) for name in (INFER, LIVE, OTHER, "/s.S/None")] == [True, False, False, False]


async def test_who_is_let_in_is_looked_at_once_and_the_gate_asked_once(house: House) -> None:
    assert house.methods.gated(INFER)
    handler = house.methods.let_in(INFER, LET_IN)
    assert await handler.unary_unary(b"hello", LET_IN) == b"hello"
    assert (house.looked, house.gate.asked) == (1, 1)
    assert [code for _, code in house.observer.handled] == ["OK"]


async def test_who_is_not_gated_is_looked_at_too(house: House) -> None:
    handler = house.methods.handler(LIVE)
    assert await handler.unary_unary(b"hello", LET_IN) == b"hello"
    assert (house.looked, house.gate.asked) == (1, 0)


@pytest.mark.parametrize(
    ("context", "code", "reason"),
    [
        (TURNED, "RESOURCE_EXHAUSTED", "OVERLOADED"),
        (Context("ipv4:1.2.3.4:5", "none"), "UNAUTHENTICATED", "TOKEN_MISSING"),
        (Context("ipv4:9.9.9.9:9", "none"), "UNAUTHENTICATED", "TOKEN_MISSING"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_counted(house: House, context: Context, code: str, reason: str) -> None:
    ending = house.methods.let_in(INFER, context)
    assert isinstance(ending, Ending)
    assert ending.code.name == code
    assert ending.details.startswith(f"[{reason}]")
    house.turning_away.settle()
    assert [(fact.code, fact.reason, fact.number) for fact in house.observer.turned_away] == [(code, reason, 1)]
    assert house.looked == 1


def test_who_is_given_up_is_told_when_to_come_again_and_counted(house: House) -> None:
    ending = house.methods.given_up(INFER)
    assert ending is not None
    assert ending.details == "[OVERLOADED] come again"
    assert [house.methods.given_up(name) for name in (LIVE, OTHER, "/s.S/None")] == [None, None, None]
    house.turning_away.settle()
    assert [fact.number for fact in house.observer.turned_away] == [1]


def test_who_is_read_is_told_to_the_door(house: House) -> None:
    for name in (INFER, INFER):
        house.methods.let_in(name, TURNED)
    assert house.at_door.near(0.0) == 0
    house.methods.let_in(INFER, LET_IN)
    house.methods.handler(LIVE)
    house.methods.handler(OTHER)
    assert house.at_door.near(0.0) == 2
