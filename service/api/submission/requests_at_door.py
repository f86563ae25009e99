"""How many inference requests are at the door: from when gRPC tells of them until their replies are handed back to it.

Whoever computes short work at once can see by it whether others are near, with which it could be computed side by side. Those
that wait for a worker are not counted. It is a sign, not a balance: a call that is told of may never begin. On the event loop.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_FORGOTTEN_SECONDS: Final = 0.01  # a call told of so long ago has begun, or never will


class RequestsAtDoor:
    """Calls are told of, begin and end; requests on streams begin, are answered, and their replies are written."""

    def __init__(self) -> None:
        self._told_seconds: deque[float] = deque()  # when gRPC told of calls that have not begun
        self._begun = 0
        self._writing = 0
        self._away = 0

    def tell(self, now_seconds: float) -> None:
        """Of a call that will soon begin. The clock is that of `near`."""
        self._told_seconds.append(now_seconds)

    def begin_call(self) -> None:
        """One of those told of begins."""
        if self._told_seconds:
            self._told_seconds.popleft()
        self._begun += 1

    def end_call(self) -> None:
        self._begun -= 1

    def begin_streamed(self) -> None:
        self._begun += 1

    def answer_streamed(self) -> None:
        self._begun -= 1
        self._writing += 1

    def write_streamed(self) -> None:
        self._writing -= 1

    def forget_streamed(self, begun: int, answered: int) -> None:
        """Requests of a stream that has ended: so many not answered, and so many answered and not written."""
        self._begun -= begun
        self._writing -= answered

    def leave(self) -> None:
        """A request that has begun goes to a worker."""
        self._away += 1

    def come_back(self) -> None:
        self._away -= 1

    def near(self, now_seconds: float) -> int:
        """How many requests are here, one among them that asks.

        Of the replies that are being written one is left out: a client that waits for each has its next request here before
        gRPC has said that the last reply is written.
        """
        told = self._told_seconds
        while told and told[0] < now_seconds - _FORGOTTEN_SECONDS:
            told.popleft()
        return len(told) + self._begun - self._away + max(0, self._writing - 1)
