"""What the tensors of an ONNX graph stand for while it is followed on paper. Knows no operators.

The graph is followed for several numbers of rows and steps at once (the trials), so that whatever it computes of shapes are plain
numbers, one array for each trial; what it computes of its inputs is a Flow: axes, and who makes the features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class NotTranslated(Exception):
    """What a graph does that no layer does. `node`: where, by name; set by whoever knows."""

    def __init__(self, what: str, node: str | None = None) -> None:
        self.what = what
        self.node = node
        super().__init__(what)


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """A part of an axis: rows, time steps or features; `sizes`: for each trial. Told apart by identity."""

    role: Literal["batch", "time", "feature"]
    sizes: tuple[int, ...]


Axis = tuple[Atom, ...]
"""The atoms that are folded into one axis, outermost first; () for an axis of size 1 that means nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of features: the tensor that makes them. `state`: the recurrent layer's state that they are, as ("lstm", "h")."""

    reference: str
    width: int
    state: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """A tensor that the network computes.

    `features`: the atoms into which the parts' features, one after the other, fall, outermost first. `ids`: whole numbers that an
    embedding reads, without features. `shared`: whether anything else reads what its last layer made. `shares`: these are scores,
    and their softmax over time is meant. `weights`: the scores with whose softmax over time each step is multiplied. `of`: what
    became of the ids on the way, as a function of them.
    """

    parts: tuple[Part, ...]
    axes: tuple[Axis, ...]
    features: tuple[Atom, ...] = ()
    ids: bool = False
    shared: bool = False
    shares: bool = False
    weights: Flow | None = None
    of: Callable[[Array], Array] | None = None

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts)

    @property
    def sequence(self) -> bool:
        return any(atom.role == "time" for axis in self.axes for atom in axis)

    @property
    def ordered(self) -> tuple[Atom, ...]:
        """The feature atoms in the order of the axes."""
        return tuple(atom for axis in self.axes for atom in axis if atom.role == "feature")

    @property
    def is_state(self) -> bool:
        return all(part.state is not None for part in self.parts)

    def shape(self, trial: int) -> tuple[int, ...]:
        return tuple(prod(atom.sizes[trial] for atom in axis) for axis in self.axes)

    def at(self, *axes: Axis) -> Flow:
        return replace(self, axes=axes)

    def axis_of(self, role: str) -> int | None:
        """The axis that is of this role alone."""
        return next((place for place, axis in enumerate(self.axes) if axis and {atom.role for atom in axis} == {role}), None)


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers that depend on no input but on shapes: one array for each trial."""

    arrays: tuple[Array, ...]

    @property
    def constant(self) -> Array | None:
        """The array, if it is the same in all trials."""
        first = self.arrays[0]
        same = all(one is first or (one.shape == first.shape and np.array_equal(one, first)) for one in self.arrays[1:])
        return first if same else None

    @property
    def fill(self) -> float | None:
        """The one number that fills it in all trials."""
        values = {float(bound) for array in self.arrays if array.size for bound in (array.min(), array.max())}
        return values.pop() if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Given:
    """An input of the graph that is a state.

    `places`: of each element the number in the input, one array for each trial: it shows which part of the input goes where.
    """

    name: str
    places: tuple[Array, ...]


Value = Flow | Known | Given


def feature(size: int, trials: int) -> Atom:
    return Atom("feature", (size,) * trials)
