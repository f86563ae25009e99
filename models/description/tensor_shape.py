"""The shape of one tensor of a network, and what every layer asks of the shapes that it reads. Knows no layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from cellserve.models.description.step_counts import StepCount


@dataclass(frozen=True, slots=True)
class TensorShape:
    """`sequence`: [B, T, *features], else a vector [B, *features]. `time_steps`: T where it is fixed.

    `ids`: whether it is ids, one at each step, or one axis of several. `step_count`: its steps by those that were fed.
    """

    sequence: bool
    features: tuple[int, ...]
    time_steps: int | None = None
    step_count: StepCount = field(default=StepCount(), compare=False)
    ids: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        time = ("time" if self.time_steps is None else str(self.time_steps),) if self.sequence else ()
        return "[" + ", ".join(("batch", *time, *map(str, self.features))) + "]"
