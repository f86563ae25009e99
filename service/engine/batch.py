"""One iteration's work, and one sequence's whole result. Plain facts: no tensors, no behaviour beyond counting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.sequence import Sequence
from cellserve.service.errors import ServiceError


@dataclass(slots=True)
class Batch:
    """The next `lengths[i]` time steps of `sequences[i]`, side by side, all in the same pass, under one implementation.

    whole: all passes over each sequence at once; its length is then that of all of them. Counted once, when it is made: `steps`,
    the longest length; `timesteps`, the real ones: the area without the padding; `ragged`: a row ends inside, and others go on.
    """

    implementation: str
    sequences: tuple[Sequence, ...]
    lengths: tuple[int, ...]
    whole: bool = False
    rows: int = field(init=False)
    steps: int = field(init=False)
    timesteps: int = field(init=False)
    ragged: bool = field(init=False)

    def __post_init__(self) -> None:
        self.rows = len(self.lengths)
        self.steps = max(self.lengths)
        self.timesteps = sum(self.lengths)
        self.ragged = self.timesteps < self.rows * self.steps

    @property
    def pass_index(self) -> int:
        return self.sequences[0].pass_index

    @property
    def ending(self) -> list[int]:
        """The places of those whose last step, of this pass, is in it."""
        return [place for place, (s, length) in enumerate(zip(self.sequences, self.lengths)) if s.remaining == length]

    @property
    def masked(self) -> bool:
        return any(sequence.work.mask is not None for sequence in self.sequences)

    @property
    def ended_states(self) -> bool:
        """Whether a row that ends before the others wants its state."""
        steps = self.steps
        return any(length < steps and sequence.work.want_state for sequence, length in zip(self.sequences, self.lengths))


class Delivery(NamedTuple):
    """How one sequence ended; there is exactly one for each submitted sequence.

    outputs: one array per output of the model, [T, …] or […]; empty if `error` is set. state: [layout.width] if it was wanted.
    steps: the sequence's own, however many passes went over it. queue_seconds: from submit to the first iteration.
    compute_seconds: its share, by time steps, of its iterations.
    """

    sequence_id: int
    outputs: tuple[npt.NDArray[np.generic], ...]
    state: npt.NDArray[np.float32] | None
    error: ServiceError | None
    implementation: str
    steps: int
    iterations: int
    queue_seconds: float
    compute_seconds: float
