"""What a token may use: some models, and so many time steps a second. Decides from names, counts and a clock that is passed in;
knows no call and no file.

A second's worth may be used at once; what is used beyond is a debt, which is worked off at the token's rate before more comes in.
So a request larger than a second's worth is let in too, and over a longer time no token gets more than its rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cellserve.service.errors import ModelDenied, RateExceeded

_AT_ONCE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """models: names, or beginnings of names and `*`; empty: any. steps_per_second: None: any."""

    models: tuple[str, ...] = ()
    steps_per_second: float | None = None

    @property
    def limited(self) -> bool:
        return bool(self.models) or self.steps_per_second is not None

    def allows(self, model: str) -> bool:
        return not self.models or any(
            model.startswith(name[:-1]) if name.endswith("*") else model == name for name in self.models
        )


ANYTHING: Final = Allowance()


class Meters:
    """Of all tokens, from one reading of their file to the next. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._worked_off_seconds: dict[str, float] = {}  # by token: when its debt will be, on the clock

    def spend(self, token: str, steps: int, rate: float) -> float:
        """Seconds until the token may be used again, if it may not be now, and nothing is spent; else 0."""
        now = self._clock()
        debt = self._worked_off_seconds.get(token, now) - now
        if debt > _AT_ONCE_SECONDS:
            return debt - _AT_ONCE_SECONDS
        self._worked_off_seconds[token] = now + max(debt, 0.0) + steps / rate
        return 0.0

    def give_back(self, token: str, steps: int, rate: float) -> None:
        """What was spent and not computed."""
        if token in self._worked_off_seconds:
            self._worked_off_seconds[token] -= steps / rate


@dataclass(frozen=True, slots=True)
class TokenUse:
    """What one token may use now. token: a name for it that is no secret, the same after each reading. owner: whose it is."""

    token: str
    owner: str
    allowance: Allowance
    meters: Meters

    def allows(self, model: str) -> bool:
        return self.allowance.allows(model)

    def require_model(self, model: str) -> None:
        """Raises ModelDenied."""
        if not self.allows(model):
            raise ModelDenied(
                f"the token of {self.owner} is for the models {', '.join(self.allowance.models)}, and not for {model[:128]!r}; "
                "ask whoever runs the server for another one",
                field="model",
            )

    def spend(self, steps: int) -> None:
        """Raises RateExceeded."""
        rate = self.allowance.steps_per_second
        if rate is None:
            return
        wait_seconds = self.meters.spend(self.token, steps, rate)
        if wait_seconds > 0.0:
            raise RateExceeded(
                f"the token of {self.owner} is for {rate:,.12g} time steps a second, and has used more; "
                f"come again in {math.ceil(wait_seconds * 1000)} ms",
                retry_after_seconds=wait_seconds,
            )

    def give_back(self, steps: int) -> None:
        if (rate := self.allowance.steps_per_second) is not None:
            self.meters.give_back(self.token, steps, rate)
