"""Where the engine's deliveries reach the event loop: one wake-up for each list, one answer for each request.

`deliver` runs on the engine's thread, everything else on the loop. Knows no messages and no engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cellserve.service.api.submission.reply_future import ReplyFuture
from cellserve.service.engine.batch import Delivery
from cellserve.service.errors import ServiceError


class Gathering:
    """The deliveries of one request's rows, until the last one is there or the first one has failed."""

    __slots__ = ("answer", "deliveries", "missing", "sequence_ids")

    def __init__(self, rows: int, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: ReplyFuture[list[Delivery]] = ReplyFuture(loop)
        self.deliveries: list[Delivery | None] = [None] * rows
        self.missing = rows
        self.sequence_ids: list[int] = []

    def take(self, row: int, delivery: Delivery) -> None:
        if self.answer.done():
            return
        if delivery.error is not None:
            self.answer.set_exception(delivery.error)
            return
        self.deliveries[row] = delivery
        self.missing -= 1
        if self.missing == 0:
            self.answer.set_result([delivery for delivery in self.deliveries if delivery is not None])


class Inbox:
    """Sequences under way, by id. A delivery of one that is no longer expected is dropped."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._expected: dict[int, tuple[Gathering, int]] = {}
        self._alone: dict[int, ReplyFuture[Delivery]] = {}

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Called on the engine's thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._take, deliveries)

    def open(self, rows: int) -> Gathering:
        return Gathering(rows, self.loop)

    def expect(self, sequence_id: int, gathering: Gathering) -> None:
        """The next row of `gathering` is `sequence_id`. On the loop, in the same callback as its submission."""
        self._expected[sequence_id] = (gathering, len(gathering.sequence_ids))
        gathering.sequence_ids.append(sequence_id)

    def forget(self, gathering: Gathering) -> list[int]:
        """Expect nothing more for `gathering`. Returns the sequences that were still under way."""
        return [sequence_id for sequence_id in gathering.sequence_ids if self._expected.pop(sequence_id, None) is not None]

    def expect_alone(self, sequence_id: int) -> ReplyFuture[Delivery]:
        """For the only row of a request: its delivery, or what the engine says went wrong. Called as `expect` is."""
        answer = self._alone[sequence_id] = ReplyFuture(self.loop)
        return answer

    def forget_alone(self, sequence_id: int) -> bool:
        """Expect it no more. Returns whether it was still under way."""
        return self._alone.pop(sequence_id, None) is not None

    def fail(self, error: ServiceError) -> None:
        """End everything under way with `error`: nothing will be delivered any more."""
        expected, self._expected = self._expected, {}
        alone, self._alone = self._alone, {}
        answers: list[ReplyFuture[Any]] = [*alone.values(), *(gathering.answer for gathering, _ in expected.values())]
        for answer in answers:
            if not answer.done():
                answer.set_exception(error)

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            answer = self._alone.pop(delivery.sequence_id, None)
            if answer is not None:
                if answer.done():  # by a cancellation that the caller has not seen yet
                    continue
                if delivery.error is None:
                    answer.set_result(delivery)
                else:
                    answer.set_exception(delivery.error)
                continue
            expected = self._expected.pop(delivery.sequence_id, None)
            if expected is not None:
                gathering, row = expected
                gathering.take(row, delivery)
