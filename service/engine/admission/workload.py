"""How much work is outstanding, and how fast it goes: the figures that admission and the choice of a worker rest on.

Counters with one writer each: what is `submitted` belongs to the submitting side, everything else to the worker's thread.
Either side reads the other's without a lock; a figure may be one iteration old, never torn.
"""

from __future__ import annotations

_FORGETTING = 0.95  # per iteration, of a worker or a lane


class Workload:
    """Outstanding time steps and sequences of one worker or lane, or of one implementation on a lane.

    forgetting: for each iteration, of what is recent. Steps are counted as they are computed: where a network takes several
    passes over a sequence, in each of them.
    """

    def __init__(self, forgetting: float = _FORGETTING) -> None:
        self._forgetting = forgetting
        self.submitted_steps = 0
        self.submitted_sequences = 0
        self.finished_steps = 0
        self.ended_sequences = 0
        self._recent_seconds = 0.0
        self._recent_steps = 0.0
        self._recent_iterations = 0.0

    @property
    def outstanding_steps(self) -> int:
        return self.submitted_steps - self.finished_steps

    @property
    def outstanding_sequences(self) -> int:
        return self.submitted_sequences - self.ended_sequences

    @property
    def seconds_per_step(self) -> float | None:
        """Recent busy seconds per real time step, all rows counted; None before the first iteration."""
        return self._recent_seconds / self._recent_steps if self._recent_steps else None

    @property
    def seconds_per_iteration(self) -> float:
        """0 before the first iteration."""
        return self._recent_seconds / self._recent_iterations if self._recent_iterations else 0.0

    def computed(self, steps: int, seconds: float) -> None:
        """Books an iteration: its time, and its steps as finished."""
        self.finished_steps += steps
        self._recent_steps = self._forgetting * self._recent_steps + steps
        self._recent_seconds = self._forgetting * self._recent_seconds + seconds
        self._recent_iterations = self._forgetting * self._recent_iterations + 1

    def bound(self, seconds_per_step: float) -> None:
        """Corrects what was booked so far: steps took no longer than this."""
        self._recent_seconds = min(self._recent_seconds, seconds_per_step * self._recent_steps)

    def lost(self, steps: int) -> None:
        """Books steps whose results never came as finished."""
        self.finished_steps += steps

    def dropped(self, steps: int) -> None:
        """Books the end of a sequence, and those of its steps that will never be computed as finished."""
        self.finished_steps += steps
        self.ended_sequences += 1
