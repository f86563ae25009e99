"""Short work of different requests computed side by side: while others are near, each waits for them a moment.

One row after the other costs a call each; sixteen in one call cost as much as three or four. So whoever comes while another is
at the door, or soon after several were computed together, is held until the event loop has had nothing else to do for ten turns,
for a millisecond at most, which nobody notices. Where that was in vain, the next ones are not held, twice as many each time. Who
is alone is never held. Knows no messages and no models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cellserve.service.api.submission.empty_turns import EmptyTurns
from cellserve.service.api.submission.reply_future import ReplyFuture
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work

_NEAR: Final = 2  # requests at the door, the asking one among them
_LONGEST_SECONDS: Final = 0.001
_SOON_SECONDS: Final = 2 * _LONGEST_SECONDS  # whoever comes then was held back, or was on its way, while those were held
_IDLE_TURNS: Final = 10  # of the event loop: a message of a client that was awake has come by then
_MOST_ROWS: Final = 16
_FEWEST_SPARED: Final = 4  # requests that are not held after one was held in vain
_MOST_SPARED: Final = 256

Compute = Callable[[Sequence[Work], str, Sequence[float]], list[Delivery]]


class _Held(NamedTuple):
    work: Work
    arrived_seconds: float
    answer: ReplyFuture[Delivery]


class Microbatcher:
    """Lives on the event loop. compute: as Engine.run_at_once. clock: the engine's."""

    def __init__(
        self,
        compute: Compute,
        at_door: RequestsAtDoor,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._at_door = at_door
        self._loop = loop
        self._clock = clock
        self._held: dict[tuple[VersionKey, str], list[_Held]] = {}  # by version and implementation
        self._rows = 0
        self._first_seconds = 0.0  # when the first of those held came
        self._turn_seconds = 0.0  # when the last turn of the loop was seen
        self._turns = EmptyTurns()
        self._interrupted = False  # somebody came in this turn, which says nothing
        self._company_seconds = float("-inf")  # when several were last computed together
        self._spared = 0  # after the last one that was held in vain; 0 if there has been company since
        self._to_spare = 0

    def alone(self, now_seconds: float) -> bool:
        """Whether nobody is known to be near whoever comes now."""
        recent = now_seconds < self._company_seconds + _SOON_SECONDS
        return self._rows == 0 and not recent and self._at_door.near(now_seconds) < _NEAR

    def promising(self) -> bool:
        """Whether one who is not alone should be held. Asked once for each."""
        if self._to_spare == 0 or self._rows > 0:
            return True
        self._to_spare -= 1
        return False

    def hold(self, work: Work, implementation: str, now_seconds: float) -> ReplyFuture[Delivery]:
        """The delivery of work that is short under `implementation`, or what `compute` raises, before long."""
        answer: ReplyFuture[Delivery] = ReplyFuture(self._loop)
        if not self._rows:
            self._first_seconds = now_seconds
            self._loop.call_soon(self._turn)
        self._interrupted = True
        self._rows += 1
        self._held.setdefault((work.version, implementation), []).append(_Held(work, now_seconds, answer))
        return answer

    def _turn(self) -> None:
        """Once in each turn of the loop, while anybody is held."""
        now = self._clock()
        if self._interrupted:
            self._interrupted = False
            self._turns.interrupted()
        else:
            self._turns.turn(now - self._turn_seconds)
        self._turn_seconds = now
        if over(now - self._first_seconds, self._turns.since_busy, self._rows):
            self._compute_all()
        else:
            self._loop.call_soon(self._turn)

    def _compute_all(self) -> None:
        held, self._held = self._held, {}
        if self._rows > 1:
            self._company_seconds = self._clock()
            self._spared = 0
        else:
            self._spared = self._to_spare = min(max(2 * self._spared, _FEWEST_SPARED), _MOST_SPARED)
        self._rows = 0
        for (_, implementation), together in held.items():
            present = [each for each in together if not each.answer.done()]  # the others were cancelled meanwhile
            if present:
                self._answer(present, implementation)

    def _answer(self, together: Sequence[_Held], implementation: str) -> None:
        try:
            deliveries = self._compute(
                [each.work for each in together], implementation, [each.arrived_seconds for each in together]
            )
        except Exception as error:  # told to each of them by the door, as of a request alone
            for each in together:
                each.answer.set_exception(error)
            return
        for each, delivery in zip(together, deliveries):
            if not each.answer.done():
                each.answer.set_result(delivery)


def over(held_seconds: float, idle_turns: int, rows: int) -> bool:
    """Whether those held are computed now. idle_turns: in how many, up to now, the event loop has had nothing else to do."""
    return held_seconds >= _LONGEST_SECONDS or idle_turns >= _IDLE_TURNS or rows >= _MOST_ROWS
