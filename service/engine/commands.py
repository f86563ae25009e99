"""What other threads may ask of a worker. Facts only; the worker obeys them between two iterations."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

from cellserve.service.engine.lane import Lane
from cellserve.service.engine.sequence import Sequence


class Submit(NamedTuple):
    lane: Lane
    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Cancel:
    sequence_id: int


@dataclass(frozen=True, slots=True)
class WhenIdle:
    """Sets the event once, as soon as nothing is live."""

    reached: Event


@dataclass(frozen=True, slots=True)
class Stop:
    """End everything that is live, then the loop."""


Command = Submit | Cancel | WhenIdle | Stop
