"""One request's life in the engine: its inputs, how far it has got, and what it has produced so far.

waiting → active (it has been in an iteration) → done (exactly one Delivery left for the door). Knows no tensors, no threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_counts import Fed
from cellserve.service.engine.estimate import NO_ESTIMATE, Estimate
from cellserve.service.engine.facts import IterationLog, VersionKey

if TYPE_CHECKING:
    from cellserve.models.passes.memory import PassMemory
    from cellserve.service.engine.state_pool import RowHandle


class Work(NamedTuple):
    """What the door hands over: one sequence, checked and complete.

    inputs: as the model lists them, [T, features] float32, ids [T] int64, or vectors [width] float32.
    mask: [T] bool, True where the step counts, or None. state: [layout.width] float32, or None for zeros.
    implementation: a label, or None for the lane's default. deadline_seconds: on the clock of time.monotonic.
    priority: higher goes first among the waiting. iteration_log: told of its iterations, where its request is traced.
    """

    version: VersionKey
    inputs: tuple[npt.NDArray[np.generic], ...]
    mask: npt.NDArray[np.bool_] | None = None
    state: npt.NDArray[np.float32] | None = None
    implementation: str | None = None
    want_state: bool = False
    deadline_seconds: float | None = None
    priority: int = 0
    iteration_log: IterationLog | None = None

    @property
    def steps(self) -> int:
        """Time steps of its first sequence; 1 where all inputs are vectors (float32 of one dimension)."""
        for array in self.inputs:
            if array.ndim > 1 or array.dtype.kind != "f":
                return len(array)
        return 1

    @property
    def fed(self) -> Fed:
        """Time steps of each of its inputs, where there are several (of a vector any number)."""
        return self.steps if len(self.inputs) == 1 else tuple(map(len, self.inputs))


class Life(Enum):
    WAITING = "waiting"
    ACTIVE = "active"
    DONE = "done"


@dataclass(eq=False, slots=True)
class Sequence:
    """A Work on its way. `row` is its place in the state pool while it has one, `memory` what is stored between its passes.

    passes: the time steps of each pass over it; empty: one pass over all of its own. `steps` are its own, `total` those of all
    passes; `position` counts those that have been computed, `remaining` those of the present pass that have not. `order` says
    where it stands among others: lower first; equal ones in the order of `turn_seconds`, which is that of arrival but for clients
    that have sent more than their share.
    """

    id: int
    work: Work
    implementation: str
    submitted_seconds: float
    passes: tuple[int, ...] = ()
    estimate: Estimate = NO_ESTIMATE
    order: int = field(init=False)
    steps: int = field(init=False)
    total: int = field(init=False)
    remaining: int = field(init=False)
    pass_index: int = 0
    life: Life = Life.WAITING
    position: int = 0
    iterations: int = 0
    started_seconds: float | None = None
    compute_seconds: float = 0.0
    row: RowHandle | None = None
    memory: PassMemory | None = None
    outputs: list[npt.NDArray[np.generic]] = field(default_factory=list)
    state: npt.NDArray[np.float32] | None = None
    failed: bool = False  # while its mates did not: to be ended after the iteration

    def __post_init__(self) -> None:
        self.order = -self.work.priority
        self.steps = self.work.steps
        self.passes = self.passes or (self.steps,)
        self.total = sum(self.passes)
        self.remaining = self.passes[0]

    @property
    def turn_seconds(self) -> float:
        return max(self.submitted_seconds, self.estimate.turn_seconds)

    @property
    def left(self) -> int:
        """Time steps of all passes."""
        return self.total - self.position

    @property
    def place(self) -> int:
        """How many time steps of the present pass have been computed."""
        return self.passes[self.pass_index] - self.remaining

    def advance(self, steps: int) -> bool:
        """Counts steps of the present pass, or those of all; goes on to the next one at its end. True if it was the last."""
        self.position += steps
        self.remaining -= steps
        if self.remaining > 0:
            return False
        if self.position == self.total:
            return True
        self.pass_index += 1
        self.remaining = self.passes[self.pass_index]
        return False
