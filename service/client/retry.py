"""When to try again, and how long to wait first. Pure: the clock and the dice are passed in; knows no channel.

Only calls without side effects are retried (every Run is one), and only after refusals that another attempt may not meet:
nobody answered, the server is overloaded, draining, loading or without its store. Waits grow exponentially with full jitter
(Brooker, "Exponential Backoff And Jitter", 2015), start no earlier than the server's own hint, and never reach past the caller's
deadline: a hint that does is final at once. Where nobody answered, the next attempt also waits for a connection, and goes as
soon as there is one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cellserve.service.client.errors import ServerNotTrusted, ServiceUnavailable
from cellserve.service.errors import (
    RETRY_TICKET_KEY,
    DeadlineExpired,
    Draining,
    Overloaded,
    ServiceError,
    StoreUnavailable,
    UploadBusy,
    VersionUnavailable,
)

RETRYABLE: tuple[type[ServiceError], ...] = (
    ServiceUnavailable,
    Overloaded,
    Draining,
    StoreUnavailable,
    UploadBusy,
    VersionUnavailable,
)

_MOST_DOUBLINGS: Final = 30
_LEAST_ROOM_SECONDS: Final = 0.02  # before the deadline: with less, another attempt could not be answered


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """attempts: most times that a request is sent, 1 never retries; None, the default: as often as the deadline allows.

    The n-th wait is up to first_wait_seconds · 2^(n-1), and no more than longest_wait_seconds, after the server's hint.
    """

    attempts: int | None = None
    first_wait_seconds: float = 0.05
    longest_wait_seconds: float = 2.0
    dice: Callable[[], float] = random.random

    def wait_seconds(self, attempt: int, error: ServiceError) -> float | None:
        """How long to wait after the `attempt`-th failure (from 1); None: do not try again."""
        given_up = self.attempts is not None and attempt >= self.attempts
        if given_up or not isinstance(error, RETRYABLE) or isinstance(error, ServerNotTrusted):
            return None
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        return (error.retry_after_seconds or 0.0) + longest * self.dice()


class Attempts:
    """The attempts at one request. Both clients ask it for the time left and, after a failure, for the waits."""

    def __init__(self, policy: RetryPolicy, deadline_seconds: float, clock: Callable[[], float]) -> None:
        """deadline_seconds: on `clock`."""
        self._policy = policy
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._made = 0
        self._ticket: str | None = None

    def time_left_seconds(self) -> float:
        """Raises DeadlineExpired when there is none."""
        left = self._deadline_seconds - self._clock()
        if left <= 0:
            raise DeadlineExpired("the time given for this call is over")
        return left

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the next attempt says of itself: the ticket that the refusal before it handed out."""
        return () if self._ticket is None else ((RETRY_TICKET_KEY, self._ticket),)

    def wait_seconds_after(self, error: ServiceError) -> float:
        """Raises `error` when it is final, or when the server's hint leaves no time for another attempt.

        Of the time between hint and deadline no more than half is waited away.
        """
        self._made += 1
        if not isinstance(error, ServiceUnavailable):  # a connection that broke says nothing of the ticket
            self._ticket = error.metadata.get(RETRY_TICKET_KEY)
        wait = self._policy.wait_seconds(self._made, error)
        hint = error.retry_after_seconds or 0.0
        room = self._deadline_seconds - self._clock() - hint
        if wait is None or room <= _LEAST_ROOM_SECONDS:
            raise error
        return min(wait, hint + room / 2)

    def waits_for_a_connection(self, error: ServiceError) -> bool:
        """Whether the next attempt, after `error`, goes when there is a connection. Not where attempts are counted."""
        return self._policy.attempts is None and isinstance(error, ServiceUnavailable)
