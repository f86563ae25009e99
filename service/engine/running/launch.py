"""One iteration that a device has been given and whose answers nobody has looked at yet. Knows no queue and no lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cellserve.service.engine.running.transfers import Mark


class Answer(Protocol):
    def hand_over(self) -> None:
        """Gives every sequence what is its own. Only once the answer is there."""
        ...


@dataclass(frozen=True, slots=True)
class Launch:
    answer: Answer
    began: Mark
    done: Mark

    def collect(self) -> float:
        """Waits until it is done and hands its answers over: the seconds that the device took. Raises what failed meanwhile."""
        self.done.wait()
        self.answer.hand_over()
        return self.done.seconds_since(self.began)
