"""What each input of a graph is: a state, a constant, a number that requests say, or what is fed; and what its axes mean.

From what the file declares and a description says. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_model import Axis
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.onnx.steps.pairs import fits, in_order, pairs
from cellserve.models.importers.onnx.steps.reading import Declared, StepFile

Array = npt.NDArray[Any]
ROW_NAMES: Final = frozenset(["b", "n", "bs", "bsz", "batch", "batches", "batch_size", "batchsize", "rows"])
TIME_WORDS: Final = ("time", "seq", "frame", "len", "sample", "step", "chunk", "token")


@dataclass(frozen=True, slots=True)
class Roles:
    """`axes`: of states and of what is fed; `asked`: numbers that each request says; `bound`: constants.

    `contexts`: by input, how many of the last values and on which axis. `by_order`: whether nothing but their order told which
    outputs the states become.
    """

    states: Mapping[str, str]
    fed: tuple[str, ...]
    asked: tuple[str, ...]
    bound: Mapping[str, Array]
    axes: Mapping[str, tuple[Axis, ...]]
    contexts: Mapping[str, tuple[int, int]]
    by_order: bool = False

    @property
    def batched(self) -> bool:
        return all("batch" in axes for axes in self.axes.values())

    @property
    def rows_first(self) -> bool:
        """Whether what is fed has its row, if it be one alone, on the first axis."""
        return any(own and own[0] in ("batch", 1) for name, own in self.axes.items() if name in self.fed)

    @property
    def timed(self) -> bool:
        return any("time" in axes for axes in self.axes.values())

    def of_frames(self, steps: int) -> Roles:
        """Where time is free, it is `steps` in every call."""
        axes = {name: tuple(steps if axis == "time" else axis for axis in own) for name, own in self.axes.items()}
        return replace(self, axes=axes)


def has_states(file: StepFile, description: Description) -> bool:
    """Whether any input of the graph is what an output was the call before."""
    return bool(description.states or _told(file))


def has_states_in_order(file: StepFile) -> bool:
    """Whether as many outputs as it has inputs that are called states stand behind its answer, none of them named."""
    return bool(in_order(file.inputs, file.outputs))


def may_have_states(file: StepFile) -> bool:
    """Whether an output that is not told to be a state might be one: it could be fed again, beside what is fed and answered."""
    given = [entry for entry in file.inputs if entry.dims not in ((), (1,))]
    return len(given) > 1 and any(
        fits(entry, made, {})
        for entry in given
        for made in file.outputs
        if (entry.name, made.name) != (given[0].name, file.outputs[0].name)
    )


def _told(file: StepFile) -> dict[str, str]:
    """By the edges of recurrent nodes, then by names and shapes."""
    outputs = {entry.name: entry for entry in file.outputs}
    found: dict[str, str] = {}
    for entry in file.inputs:
        fitting = [name for name in file.recurrent.get(entry.name, ()) if fits(entry, outputs[name], {})]
        if len(fitting) == 1 and fitting[0] not in found.values():
            found[entry.name] = fitting[0]
    inputs = [entry for entry in file.inputs if entry.name not in found]
    left = [entry for entry in file.outputs if entry.name not in found.values()]
    return found | pairs(inputs, left, {})


def roles(file: StepFile, description: Description, states: Mapping[str, str] | None = None) -> Roles:
    """`states`: where they are known already. Raises ImportRefused naming the input, and what to say of it in a description."""
    source = str(file.path)
    _check_names(file, description, source)
    declared = {entry.name: entry for entry in file.inputs}
    by_order = states is None and description.states is None and not _told(file)
    states = _states(file, description, source) if states is None else states
    bound = {
        name: np.full(_sizes(declared[name], source), value, declared[name].dtype)
        for name, value in (description.constants or {}).items()
    }
    others = [entry for entry in file.inputs if entry.name not in states and entry.name not in bound]
    fed = [entry for entry in others if entry.dims not in ((), (1,))] or others
    asked = [entry for entry in others if entry not in fed]
    if not fed:
        raise ImportRefused(source, "all of its inputs are states or constants; nothing is left to be fed")
    axes = _axes(file, states, fed, description, source)
    contexts: dict[str, tuple[int, int]] = {}
    for name, context in (description.context or {}).items():
        _require_fed(name, fed, "context", source)
        axes[name], contexts[name] = _with_context(name, axes[name], context, source)
    for name, steps in (description.frames or {}).items():
        _require_fed(name, fed, "frames", source)
        axes[name] = _in_frames(name, axes[name], steps, source)
    for name in contexts:
        if "time" in axes[name]:
            raise ImportRefused(
                source,
                f"a context goes with calls of one length; say it in a --description: `frames: {{{name}: 512}}`",
                option="context",
            )
    return Roles(states, tuple(one.name for one in fed), tuple(one.name for one in asked), bound, axes, contexts, by_order)


def _check_names(file: StepFile, description: Description, source: str) -> None:
    inputs, outputs = [entry.name for entry in file.inputs], [entry.name for entry in file.outputs]
    for option in ("constants", "states", "initial", "axes", "frames", "context"):
        for name in getattr(description, option) or ():
            if name not in inputs:
                raise ImportRefused(source, f"the graph has no input {name!r}; it has {', '.join(inputs)}", option=option)
    for name in (*(description.states or {}).values(), *(description.outputs or ())):
        if name not in outputs:
            option = "outputs" if name in (description.outputs or ()) else "states"
            raise ImportRefused(source, f"the graph has no output {name!r}; it has {', '.join(outputs)}", option=option)


def _states(file: StepFile, description: Description, source: str) -> dict[str, str]:
    if description.states is None:
        told = _told(file) or in_order(file.inputs, file.outputs)
        found = {name: output for name, output in told.items() if name not in (description.constants or {})}
        if not found:
            raise ImportRefused(
                source,
                "none of its outputs is told, by name or shape, to be the next value of one of its inputs; say which in a "
                "--description: `states: {input: output}`",
            )
        return found
    given = {entry.name: entry for entry in file.inputs}
    made = {entry.name: entry for entry in file.outputs}
    for name, output in description.states.items():
        if not fits(given[name], made[output], {}):
            raise ImportRefused(
                source, f"{output!r} cannot be fed again as {name!r}: they are of other types or sizes", option="states"
            )
    return dict(description.states)


def _axes(
    file: StepFile, states: Mapping[str, str], fed: Sequence[Declared], description: Description, source: str
) -> dict[str, tuple[Axis, ...]]:
    said, declared = description.axes or {}, {entry.name: entry for entry in file.inputs}
    axes: dict[str, tuple[Axis, ...]] = {}
    row_names = set(ROW_NAMES)
    for name in states:
        axes[name] = _said(declared[name], said[name], source) if name in said else _of_state(declared[name], source)
        if "batch" in axes[name] and isinstance(word := (declared[name].dims or ())[axes[name].index("batch")], str):
            row_names.add(word.lower())
    with_rows = all("batch" in axes[name] for name in states)
    for entry in fed:
        if entry.name in said:
            axes[entry.name] = _said(entry, said[entry.name], source)
        else:
            axes[entry.name] = _of_fed(entry, row_names, with_rows, source)
    return axes


def _said(entry: Declared, said: tuple[Any, ...], source: str) -> tuple[Axis, ...]:
    fits_all = entry.dims is None or (
        len(entry.dims) == len(said)
        and all(not isinstance(dim, int) or dim == axis or (dim == 1 and axis == "batch") for dim, axis in zip(entry.dims, said))
    )
    if not fits_all or said.count("batch") > 1 or said.count("time") > 1:
        words = [dim if dim is not None else "?" for dim in entry.dims or ()]
        raise ImportRefused(source, f"{list(said)} are not the axes of {entry.name!r}, declared as {words}", option="axes")
    return tuple(1 if dim == 1 and axis == "batch" else axis for dim, axis in zip(entry.dims or said, said))


def _of_state(entry: Declared, source: str) -> tuple[Axis, ...]:
    free = _free(entry, source)
    rows = next((place for place in free if _is_rows((entry.dims or ())[place], ROW_NAMES)), free[0] if len(free) == 1 else None)
    if any(place != rows for place in free):
        raise ImportRefused(source, f"of the state {entry.name!r} not every size is declared; {_advice(entry)}")
    return tuple("batch" if place == rows else int(dim or 0) for place, dim in enumerate(entry.dims or ()))


def _of_fed(entry: Declared, row_names: set[str], with_rows: bool, source: str) -> tuple[Axis, ...]:
    free, dims = _free(entry, source), entry.dims or ()
    rows = next((place for place in free if _is_rows(dims[place], row_names)), None)
    if rows is None and free and not _is_time(dims[free[0]]):
        rows = free[0] if len(free) > 1 or (with_rows and free[0] == 0) else None
    time = [place for place in free if place != rows]
    if len(time) > 1:
        raise ImportRefused(source, f"which axis of {entry.name!r} is time is not told; {_advice(entry)}")
    return tuple("batch" if place == rows else "time" if place in time else int(dim) for place, dim in enumerate(dims))  # type: ignore[arg-type]


def _is_rows(dim: int | str | None, names: frozenset[str] | set[str]) -> bool:
    return isinstance(dim, str) and dim.lower() in names


def _is_time(dim: int | str | None) -> bool:
    return isinstance(dim, str) and (dim.lower() == "t" or any(word in dim.lower() for word in TIME_WORDS))


def _free(entry: Declared, source: str) -> list[int]:
    if entry.dims is None:
        raise ImportRefused(source, f"its input {entry.name!r} declares no shape; {_advice(entry)}")
    return [place for place, dim in enumerate(entry.dims) if not isinstance(dim, int)]


def _advice(entry: Declared) -> str:
    axes = ", ".join(
        str(dim) if isinstance(dim, int) else "batch" if place == 0 else "time" for place, dim in enumerate(entry.dims or ())
    )
    return f"say what its axes are in a --description, such as `axes: {{{entry.name}: [{axes or 'batch, 512'}]}}`"


def _sizes(entry: Declared, source: str) -> list[int]:
    if entry.dims is None or not all(isinstance(dim, int) for dim in entry.dims):
        free = [dim for dim in entry.dims or () if not isinstance(dim, int)]
        if entry.dims is None or len(free) > 1:
            raise ImportRefused(
                source, f"the sizes of {entry.name!r} are not declared, so it cannot be bound", option="constants"
            )
    return [dim if isinstance(dim, int) else 1 for dim in entry.dims]


def _require_fed(name: str, fed: Sequence[Declared], option: str, source: str) -> None:
    names = [entry.name for entry in fed]
    if name not in names:
        raise ImportRefused(source, f"{name!r} is not fed; what is fed is {', '.join(names)}", option=option)


def _with_context(name: str, axes: tuple[Axis, ...], context: int, source: str) -> tuple[tuple[Axis, ...], tuple[int, int]]:
    place = axes.index("time") if "time" in axes else len(axes) - 1
    size = axes[place]
    if size == "time":
        return axes, (context, place)
    if not isinstance(size, int) or size <= context:
        raise ImportRefused(source, f"a context of {context} does not go with an axis of {size} of {name!r}", option="context")
    return (*axes[:place], size - context, *axes[place + 1 :]), (context, place)


def _in_frames(name: str, axes: tuple[Axis, ...], steps: int, source: str) -> tuple[Axis, ...]:
    if "time" in axes:
        return tuple(steps if axis == "time" else axis for axis in axes)
    if steps not in axes:
        raise ImportRefused(source, f"{name!r} has no free axis of time, and none of {steps}: {list(axes)}", option="frames")
    return axes
