"""When to try again, and how long to wait first. Pure: the clock and the dice are passed in; knows no channel.

Only calls without side effects are retried (every Run is one), and only after refusals that another attempt may not meet:
nobody answered, the server is overloaded, draining or loading. Waits grow exponentially with full jitter (Brooker, "Exponential
Backoff And Jitter", 2015), start no earlier than the server's own hint, and never reach past the caller's deadline.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from cellserve.service.client_errors import ServiceUnavailable
from cellserve.service.errors import DeadlineExpired, Draining, Overloaded, ServiceError, VersionUnavailable

RETRYABLE: tuple[type[ServiceError], ...] = (ServiceUnavailable, Overloaded, Draining, VersionUnavailable)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """attempts: most times that a request is sent; 1 never retries. The n-th wait is up to first_wait_seconds · 2^(n-1)."""

    attempts: int = 5
    first_wait_seconds: float = 0.05
    longest_wait_seconds: float = 2.0
    dice: Callable[[], float] = random.random

    def wait_seconds(self, attempt: int, error: ServiceError) -> float | None:
        """How long to wait after the `attempt`-th failure (from 1); None: do not try again."""
        if attempt >= self.attempts or not isinstance(error, RETRYABLE):
            return None
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (attempt - 1))
        return (error.retry_after_seconds or 0.0) + longest * self.dice()


class Attempts:
    """The attempts at one request. Both clients ask it for the time left and, after a failure, for the wait."""

    def __init__(self, policy: RetryPolicy, deadline_seconds: float, clock: Callable[[], float]) -> None:
        """deadline_seconds: on `clock`."""
        self._policy = policy
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._made = 0

    def time_left_seconds(self) -> float:
        """Raises DeadlineExpired when there is none."""
        left = self._deadline_seconds - self._clock()
        if left <= 0:
            raise DeadlineExpired("the time given for this call is over")
        return left

    def wait_seconds_after(self, error: ServiceError) -> float:
        """Raises `error` when it is final, or when the wait would outlast the deadline."""
        self._made += 1
        wait = self._policy.wait_seconds(self._made, error)
        if wait is None or self._clock() + wait >= self._deadline_seconds:
            raise error
        return wait
