"""A node of an ONNX graph as its operator's function sees it, and what it needs to be followed. Knows no operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.values import Atom, Flow, Given, Known, NotTranslated, Value

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Node:
    """`given`: its inputs, None where it leaves one out; `used`: whether anything reads each of its outputs.

    `steps`: of each trial, how many time steps were fed; `starts`: of recurrent layers by state, which input of the graph gives
    them, with the numbers of its elements.
    """

    operator: str
    name: str
    attributes: Mapping[str, Any]
    given: Sequence[Value | None]
    used: Sequence[bool]
    opset: int
    draft: Draft
    starts: dict[tuple[str, str], Given]

    @property
    def trials(self) -> int:
        return self.draft.trials

    def input(self, place: int) -> Value | None:
        return self.given[place] if place < len(self.given) else None

    def flow(self, place: int, *, weighing: bool = False) -> Flow:
        """`weighing`: also what is about to weigh the steps of a sequence. Raises NotTranslated for anything else."""
        value = self.input(place)
        if isinstance(value, Given):
            raise NotTranslated(f"the input {value.name!r} of the graph, which holds a state, is computed with")
        if not isinstance(value, Flow):
            raise NotTranslated(f"its input {place} is a constant where a sequence or a vector is expected")
        if (value.shares or value.weights is not None) and not weighing:
            raise NotTranslated("it computes with a softmax over time otherwise than to weigh the steps of a row and add them up")
        return value

    def features(self, place: int) -> Flow:
        """Raises NotTranslated for ids too."""
        flow = self.flow(place)
        if flow.ids:
            raise NotTranslated("it computes with ids as if they were numbers")
        return flow

    def constant(self, place: int, what: str) -> Array:
        """Raises NotTranslated: computed from an input, or from shapes."""
        array = self.optional(place, what)
        if array is None:
            raise NotTranslated(f"it has no {what}")
        return array

    def optional(self, place: int, what: str) -> Array | None:
        value = self.input(place)
        if value is None:
            return None
        if not isinstance(value, Known) or (array := value.constant) is None:
            raise NotTranslated(f"its {what} is computed from the model's inputs, and is no constant")
        return array

    def known(self, place: int, what: str) -> Known | None:
        value = self.input(place)
        if value is not None and not isinstance(value, Known):
            raise NotTranslated(f"its {what} is computed from the model's inputs")
        return value

    def whole(self, name: str, place: int, default: Sequence[int] | None = None) -> tuple[tuple[int, ...], ...] | None:
        """Whole numbers that were an attribute of older operator sets and are an input since: for each trial."""
        if name in self.attributes:
            one = tuple(int(value) for value in np.ravel(self.attributes[name]))
            return (one,) * self.trials
        if (known := self.known(place, name)) is not None:
            return tuple(tuple(int(value) for value in np.ravel(array)) for array in known.arrays)
        return None if default is None else (tuple(default),) * self.trials

    def require_whole_rows(self, value: Value | None, flow: Flow) -> None:
        """Of what says how many steps each row has: nothing, or all of them. Raises NotTranslated for any other."""
        if value is None:
            return
        axis = flow.axis_of("time")
        steps = [flow.shape(trial)[axis] for trial in range(self.trials)] if axis is not None else []
        if not isinstance(value, Known) or any((array != count).any() for array, count in zip(value.arrays, steps)):
            raise NotTranslated("the lengths of its rows are neither all steps nor what an input of the graph says")

    def axes(self, name: str, place: int) -> tuple[int, ...] | None:
        """The same where shapes do not matter, as axes."""
        found = self.whole(name, place)
        return None if found is None else found[0]


def axis_number(axis: int, rank: int) -> int:
    """Raises NotTranslated: there is none of this number."""
    if not -rank <= axis < rank:
        raise NotTranslated(f"it names the axis {axis} of a tensor with {rank} axes")
    return axis % rank


def atom(role: Any, sizes: Sequence[int]) -> Atom:
    return Atom(role, tuple(sizes))
