"""One iteration that a device has been given and whose outputs nobody has looked at yet. Knows no queue and no lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cellserve.service.engine.running.transfers import Mark


class Outputs(Protocol):
    def hand_over(self) -> None:
        """Gives every sequence what is its own. Only once they are there."""
        ...


@dataclass(frozen=True, slots=True)
class Launch:
    outputs: Outputs
    began: Mark
    done: Mark

    def collect(self) -> float:
        """Waits until it is done and hands its outputs over: the seconds that the device took. Raises what failed meanwhile."""
        self.done.wait()
        self.outputs.hand_over()
        return self.done.seconds_since(self.began)
