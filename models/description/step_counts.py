"""How many time steps a row has at each tensor of a network, given how many each input was fed.

Convolutions and pooling make fewer of them, steps around a row more, and a decoder starts with a number of its own. Two
sequences can be joined step by step where their step counts are equal. Pure arithmetic: knows no layers, no torch and no values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

Fill = Literal["zeros", "reflect", "edge"]
"""What stands around a row: zeros, its own steps mirrored at its first and last one, or these two again and again."""


Places = Any
"""Whole numbers that count the steps of a row from its first: one, an array or a tensor of them."""


@dataclass(frozen=True, slots=True)
class Window:
    """`size` steps at a time (leaps included), the next one `stride` steps on; padding as in `Conv1dLayer`."""

    size: int
    stride: int
    padding: Literal["valid", "same", "causal"]

    @property
    def keeps_each_step(self) -> bool:
        """Whether each step comes of that step alone."""
        return self.size == self.stride == 1

    @property
    def effect(self) -> str:
        """The end of a sentence about the layer."""
        return "sees several time steps at once" if self.size > 1 else "leaves time steps out"

    def steps(self, before: int) -> int:
        """Windows in a row of `before` steps; 0 where not one fits."""
        if self.padding == "valid":
            return max(0, (before - self.size) // self.stride + 1)
        return -(-before // self.stride)

    def needed(self, steps: int) -> int:
        """The fewest steps that give `steps` windows (1 or more)."""
        return (steps - 1) * self.stride + (self.size if self.padding == "valid" else 1)

    def start(self, before: int) -> int:
        """Where the first window begins in a row of `before` steps: 0, or a negative number of steps ahead of it."""
        if self.padding == "valid":
            return 0
        if self.padding == "causal":
            return 1 - self.size
        return -(max(0, (self.steps(before) - 1) * self.stride + self.size - before) // 2)

    def span(self, steps: int) -> int:
        """How many steps `steps` windows in a row reach over."""
        return (steps - 1) * self.stride + self.size

    def ahead(self, steps: int) -> int:
        """Where window number `steps` begins, counted from the first."""
        return steps * self.stride

    def source(self, places: Places, steps: Places) -> Places:
        """Which step of a row of `steps` stands at each of `places`. What is ahead of the row means its first step."""
        return places

    def inside(self, places: Places, steps: Places) -> Places:
        """Whether something else than zeros stands there."""
        return (places >= 0) & (places < steps)


@dataclass(frozen=True, slots=True)
class Margin:
    """Steps around a row; negative: so many of its own that are cut off there. `fill`: what they are."""

    before: int
    after: int
    fill: Fill = "zeros"

    @property
    def keeps_each_step(self) -> bool:
        return self.before == self.after == 0

    @property
    def effect(self) -> str:
        return "cuts time steps off the row" if min(self.before, self.after) < 0 else "puts time steps around the row"

    def steps(self, before: int) -> int:
        """0 where nothing is left, or where there is less than is mirrored."""
        return max(0, before + self.before + self.after) if before >= self._least else 0

    def needed(self, steps: int) -> int:
        return max(1, self._least, steps - self.before - self.after)

    @property
    def _least(self) -> int:
        return max(self.before, self.after) + 1 if self.fill == "reflect" else 0

    def start(self, before: int) -> int:
        """Where what is put ahead of a row begins; or, positive, the first step that is not cut off."""
        return -self.before

    def span(self, steps: int) -> int:
        return steps

    def ahead(self, steps: int) -> int:
        return steps

    def source(self, places: Places, steps: Places) -> Places:
        last = steps - 1
        if self.fill == "reflect":
            return last - abs(last - abs(places))
        return (places + last - abs(places - last)) // 2 if self.fill == "edge" else places

    def inside(self, places: Places, steps: Places) -> Places:
        if self.fill == "zeros":
            return (places >= 0) & (places < steps)
        return (places >= -self.before) & (places < steps + self.after)


Change = Window | Margin

Order = Literal["onward", "turned"] | Change
"""How a layer, or a pass, goes through a sequence: from its start, from its end, or laid out for the windows of a layer."""

ONWARD: Final = "onward"
TURNED: Final = "turned"


Fed = int | tuple[int, ...]
"""The time steps of one row: of every input alike, or for each of the network's inputs its own (of a vector any number)."""


def steps_of(fed: Fed, index: int) -> int:
    """Of the network's input number `index`."""
    return fed if isinstance(fed, int) else fed[index]


@dataclass(frozen=True, slots=True)
class StepCount:
    """`count`: a decoder's own number of steps; None: as many as the row was fed. `changes`: what happened to it since.

    `source`: number of the input whose steps count; the first one of those that must have equally many.
    """

    count: int | None = None
    changes: tuple[Change, ...] = ()
    source: int = 0

    def then(self, change: Change) -> StepCount:
        """The step count behind a layer. Layers that keep every row's steps (padding `same`, no strides) leave it as it is."""
        keeps = change.stride == 1 and change.padding != "valid" if isinstance(change, Window) else False
        if keeps or change.keeps_each_step:
            return self
        return replace(self, changes=(*self.changes, change))

    def steps(self, fed: Fed) -> int:
        """The row's steps here; 0 where it is too short."""
        steps = steps_of(fed, self.source) if self.count is None else self.count
        for change in self.changes:
            steps = change.steps(steps) if steps else 0
        return steps

    @property
    def fewest(self) -> int:
        """The fewest steps that a row must be fed to have one here."""
        needed = 1
        for change in reversed(self.changes):
            needed = change.needed(needed)
        return needed
