"""An iteration under way on a device, and the sequences that it completes: between its launch and its collection."""

from __future__ import annotations

from dataclasses import dataclass

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.launch import Launch
from cellserve.service.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class InFlight:
    batch: Batch
    launch: Launch
    completed: list[Sequence]
