"""Cells in a loop of the program's own, which was written out step after step, as one recurrence over the sequence they read.

What the loop does at each step beside its cells is done for all steps at once, where it is the same at each. Knows no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from cellserve.models.importers.pytorch.export.drawing import LONGEST
from cellserve.models.importers.pytorch.export.program import Call, Named, Program, names_in, without_dead

SEQUENCES: Final[Mapping[str, str]] = {
    "lstm_cell": "lstm",
    "gru_cell": "gru",
    "rnn_tanh_cell": "rnn_tanh",
    "rnn_relu_cell": "rnn_relu",
}
ARRAYS: Final = ("w_ih", "w_hh", "b_ih", "b_hh")
STEPWISE: Final = frozenset(
    {"linear", "relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_", "gelu", "silu", "elu", "leaky_relu", "softplus", "mish"}
    | {"add", "sub", "mul", "div", "neg", "exp", "layer_norm", "dropout", "clone", "contiguous", "detach", "alias", "hardtanh"}
)
OVER_FEATURES: Final = frozenset({"softmax", "log_softmax", "_softmax", "_log_softmax", "cat"})
"""Which name the axis of the features by its number."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A tensor that holds what a step makes, of all steps, on its axis of time: the first or the second."""

    name: str
    axis: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Calls of one cell, each of which goes on from the states of the one before it."""

    calls: tuple[Call, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(call.made[0] for call in self.calls)


@dataclass
class Rolling:
    """`added`: what stands for the call that is looked at; `counts`: steps of the sequences that loops read.

    `traced`: as in `rolled`.
    """

    program: Program
    sizes: dict[str, tuple[int | None, ...]]
    traced: bool
    makers: dict[str, Call] = field(default_factory=dict)
    whole: dict[tuple[str, ...], Whole] = field(default_factory=dict)
    added: list[Call] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def sequence(self, names: Sequence[str]) -> Whole | None:
        """What holds these, each as one step; None: there is no such thing."""
        key = tuple(names)
        if key in self.whole:
            return self.whole[key]
        makers = [self.makers.get(name) for name in names]
        calls = [call for call in makers if call is not None]
        if len(calls) < len(names) or len({call.operation for call in calls}) != 1:
            return None
        found = self._taken(calls, names) or self._computed(calls, names)
        if found is not None:
            self.whole[key] = found
        return found

    def _taken(self, calls: Sequence[Call], names: Sequence[str]) -> Whole | None:
        first = calls[0]
        axis = first.given.get("dim", 0)
        sources = {self._uncut(source.name) for call in calls if isinstance(source := call.given.get("self"), Named)}
        source = sources.pop() if len(sources) == 1 else ""
        if axis not in (0, 1) or len(self.sizes.get(source, ())) != 3:
            return None
        if not self._is_all(source, axis, len(calls) if first.operator == "select" else len(names)):
            return None
        if first.operator == "unbind" and first.made == tuple(names):
            return Whole(source, axis)
        own = [(call.given.get("dim", 0), call.given.get("index")) for call in calls]
        return Whole(source, axis) if first.operator == "select" and own == [(axis, n) for n in range(len(calls))] else None

    def _is_all(self, source: str, axis: int, steps: int) -> bool:
        """Whether so many are all its steps: a loop over some of them is no recurrence over rows of any length."""
        size = self.sizes[source][axis]
        if size is None and source not in self.counts and not self.traced:
            return False
        return self.counts.setdefault(source, steps if size is None else size) == steps

    def _uncut(self, name: str) -> str:
        """The tensor of which this is a slice from end to end, as a trace has one for each colon."""
        while (call := self.makers.get(name)) is not None and call.operator == "slice" and _takes_all(call):
            name = call.given["self"].name
        return name

    def _computed(self, calls: Sequence[Call], names: Sequence[str]) -> Whole | None:
        first = calls[0]
        if first.operator not in STEPWISE | OVER_FEATURES or len(self.sizes.get(names[0], ())) != 2:
            return None
        given: dict[str, Any] = {}
        axes = set[int]()
        for name, value in first.given.items():
            values = [call.given.get(name) for call in calls]
            lifted = self._lifted(values, axes)
            if lifted is None and any(one != value for one in values):
                return None
            given[name] = value if lifted is None else lifted
        if len(axes) != 1:
            return None
        if first.operator in OVER_FEATURES:
            if given.get("dim") not in (1, -1):
                return None
            given["dim"] = -1
        (axis,) = axes
        return Whole(self.add(first, first.operation, given, names[0], axis), axis)

    def _lifted(self, values: Sequence[Any], axes: set[int]) -> Any:
        """None: it is the same at each step."""
        if all(one == values[0] for one in values):
            return None
        if all(isinstance(one, Named) for one in values):
            found = self.sequence([one.name for one in values])
            if found is None:
                return None
            axes.add(found.axis)
            return Named(found.name)
        if all(isinstance(one, list) and len(one) == len(values[0]) for one in values):
            parts = [self._lifted(column, axes) for column in zip(*values)]
            return None if any(part is None for part in parts) else parts
        return None

    def add(self, beside: Call, operation: str, given: Mapping[str, Any], like: str, axis: int) -> str:
        """A call that makes of all steps what `like` is of one. Its name."""
        rows, width = self.sizes[like]
        name = f"{like}_steps"
        self.sizes[name] = (rows, None, width) if axis == 1 else (None, rows, width)
        self._add(replace(beside, name=name, operation=operation, given=dict(given), made=(name,)))
        return name

    def _add(self, call: Call) -> None:
        self.added.append(call)
        self.makers |= dict.fromkeys(call.made, call)

    def roll(self, loop: Loop) -> bool:
        """Adds the recurrence. Whether there is one."""
        first, last = loop.calls[0], loop.calls[-1]
        read = self.sequence([call.given["input"].name for call in loop.calls])
        if read is None:
            return False
        starts = []
        for state in _states(first):
            name = f"{first.made[0]}_{state}_first"
            self.sizes[name] = (1, *self.sizes.get(state, (None, None)))
            self._add(
                replace(
                    first, name=name, operation="aten.unsqueeze.default", given={"self": Named(state), "dim": 0}, made=(name,)
                )
            )
            starts.append(Named(name))
        sequence = SEQUENCES[first.operator]
        given = {
            "input": Named(read.name),
            "hx": starts if sequence == "lstm" else starts[0],
            "params": [first.given[name] for name in ARRAYS if isinstance(first.given.get(name), Named)],
            "has_biases": isinstance(first.given.get("b_ih"), Named),
            "num_layers": 1,
            "dropout": 0.0,
            "train": False,
            "bidirectional": False,
            "batch_first": read.axis == 1,
        }
        rows, units = self.sizes[first.made[0]]
        whole = f"{first.made[0]}_all"
        self.sizes[whole] = (rows, None, units) if read.axis == 1 else (None, rows, units)
        ends = [f"{name}_end" for name in last.made]
        self.sizes |= dict.fromkeys(ends, (1, rows, units))
        self.counts[whole] = len(loop.calls)
        self._add(replace(first, operation=f"aten.{sequence}.input", given=given, made=(whole, *ends)))
        for number, name in enumerate(loop.shown[:-1]):
            taken = {"self": Named(whole), "dim": read.axis, "index": number}
            self._add(replace(first, name=name, operation="aten.select.int", given=taken, made=(name,)))
        for name, end in zip(last.made, ends):
            self._add(replace(last, name=name, operation="aten.squeeze.dim", given={"self": Named(end), "dim": 0}, made=(name,)))
        self.whole[loop.shown] = Whole(whole, read.axis)
        return True

    def joined(self, call: Call) -> Call | None:
        """A call that puts steps together again, as what reads the sequence."""
        given = call.given.get("tensors")
        if (
            call.operator not in ("stack", "cat")
            or not isinstance(given, list)
            or not all(isinstance(one, Named) for one in given)
        ):
            return None
        axis, names = call.given.get("dim", 0), [one.name for one in given]
        if call.operator == "cat":
            makers = [self.makers.get(name) for name in names]
            if not all(one is not None and one.operator == "unsqueeze" and one.given["dim"] == axis for one in makers):
                return None
            names = [one.given["self"].name for one in makers if one is not None]
        found = self.sequence(names) if axis in (0, 1) and len(names) > 1 else None
        if found is None:
            return None
        if found.axis == axis:
            return replace(call, operation="aten.alias.default", given={"self": Named(found.name)})
        return replace(call, operation="aten.transpose.int", given={"self": Named(found.name), "dim0": 0, "dim1": 1})


def rolled(program: Program, *, traced: bool = False) -> tuple[Program, int]:
    """With the number of steps that its longest loop was written out for; 0: it has none that is one recurrence.

    traced: its loops went through all steps of an example whose number it does not say.
    """
    loops = {loop.calls[0].name: loop for loop in _loops(program)}
    if not loops:
        return program, 0
    inside = {name for loop in loops.values() for call in loop.calls for name in call.made}
    work = Rolling(program, dict(program.sizes), traced, {name: call for call in program.calls for name in call.made})
    calls: list[Call] = []
    for call in program.calls:
        work.added = []
        if (loop := loops.get(call.name)) is not None and not work.roll(loop):
            return program, 0
        if not inside & set(call.made):
            joined = work.joined(call)
            work.added.append(call if joined is None else joined)
        calls += work.added
    kept = without_dead(calls, program.outputs)
    known = {*program.constants, *(entry.name for entry in program.inputs)}
    for call in kept:
        if not set(names_in(call.given.values())) <= known | set(program.places):
            return program, 0
        known.update(call.made)
    return replace(program, calls=tuple(kept), sizes=work.sizes), max(len(loop.calls) for loop in loops.values())


def written_out(steps: int) -> tuple[str, ...]:
    """What is to be said of loops of so many steps."""
    if not steps:
        return ()
    return (f"Its cells run in a loop, of which the file holds {steps} steps; all steps of a row are served.",)


def _takes_all(call: Call) -> bool:
    start, end, step = (call.given.get(name, default) for name, default in (("start", None), ("end", None), ("step", 1)))
    return start in (0, None) and end in (LONGEST, None) and step == 1


def _states(call: Call) -> list[str]:
    given = call.given["hx"]
    return [one.name for one in (given if isinstance(given, list) else [given])]


def _loops(program: Program) -> list[Loop]:
    """Calls of a cell that do not follow each other are none."""
    groups: dict[tuple[Any, ...], list[Call]] = {}
    for call in program.calls:
        if call.operator in SEQUENCES:
            key = call.operator, *(one.name if isinstance(one := call.given.get(name), Named) else None for name in ARRAYS)
            groups.setdefault(key, []).append(call)
    found = []
    for calls in groups.values():
        follows = all(_states(after) == list(before.made) for before, after in pairwise(calls))
        if len(calls) > 1 and follows:
            found.append(Loop(tuple(calls)))
    return found
