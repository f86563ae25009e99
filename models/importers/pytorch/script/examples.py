"""What a TorchScript program may be given, which its file does not say: shapes are tried until one runs through all of it.

Then it is followed again with other numbers of rows and steps: what stays the same is what the program is. Knows no layers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

import torch

from cellserve.models.importers.pytorch.export.program import Call, Named, Program, ProgramInput
from cellserve.models.importers.pytorch.script.file import Script
from cellserve.models.importers.pytorch.script.recorder import Recorder
from cellserve.models.importers.pytorch.script.tracer import Decision, Tracer
from cellserve.models.importers.pytorch.script.values import Count, NotFollowed, Traced

ROWS: Final = (2, 3)
STEPS: Final = (23, 29)
FRAMES: Final = (512, 256, 160, 320, 480, 400, 1536, 768, 1024, 1280)  # samples of audio that programs take at once
BANDS: Final = (*(80, 64, 40, 32, 128, 13, 257, 201, 129, 96, 48, 161, 256, 20, 26, 39, 60, 72, 81, 229, 88), *range(1, 300))
MOST_TRIES: Final = 1_000
MOST_WIDTHS: Final = 24
DEPTHS: Final = (1, 2, 3, 4, 6, 8)
NUMBERS: Final = ("int", "float", "bool")

Sizes = tuple[int | str, ...]  # "b": rows, "t": steps


@dataclass(frozen=True, slots=True)
class Shape:
    """Of an input. `ids`: whole numbers."""

    sizes: Sizes
    ids: bool = False

    def example(self, rows: int, steps: int) -> torch.Tensor:
        free = {"b": rows, "t": steps}
        sizes = [free[size] if isinstance(size, str) else size for size in self.sizes]
        generator = torch.Generator().manual_seed(0)
        if self.ids:
            return torch.randint(0, 2, sizes, generator=generator)
        return torch.randn(sizes, generator=generator)


@dataclass(frozen=True, slots=True)
class Run:
    """One example followed to its end. `outputs`: names; `changed`: of what the program keeps between calls, by its places.

    `loops`: whether it has a loop.
    """

    recorder: Recorder
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    answers: tuple[torch.Tensor, ...]
    changed: Mapping[tuple[int, str], tuple[str, Any]]
    decisions: tuple[Decision, ...]
    loops: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """`tensors`: inputs of forward, with how many tensors each is; `numbers`: those that are said in a description."""

    tensors: Mapping[str, int]
    numbers: tuple[str, ...]


def signature(script: Script) -> Signature:
    """Raises NotFollowed: its root has no forward, or one that takes something else."""
    own, defaults = _arguments(script)
    tensors, numbers = dict[str, int](), list[str]()
    for argument in own[: len(own) - defaults]:
        kind = ast.unparse(argument.annotation) if argument.annotation is not None else "Tensor"
        if kind in NUMBERS:
            numbers.append(argument.arg)
        elif kind == "Tensor" or kind.startswith("Tuple["):
            tensors[argument.arg] = kind.count("Tensor")
        elif not kind.startswith("Optional["):
            raise NotFollowed(f"its input {argument.arg} is a {kind}, which no request carries")
    if not tensors:
        raise NotFollowed("it takes no tensor")
    return Signature(tensors, tuple(numbers))


def _arguments(script: Script) -> tuple[list[ast.arg], int]:
    """Of forward, and how many of the last have defaults."""
    if script.forward is None:
        raise NotFollowed("it has no forward")
    return script.forward.args.args[1:], len(script.forward.args.defaults)


@dataclass
class Trials:
    """`numbers`: of the inputs that are numbers, by name."""

    script: Script
    signature: Signature
    numbers: Mapping[str, float]

    def first(self) -> tuple[Run, int, int]:
        """A run, and with how many rows and steps. Raises NotFollowed as the one that came farthest does."""
        best: tuple[int, NotFollowed] | None = None
        tries = 0
        for rows in (ROWS[0], 1):
            for shapes, steps in self._candidates():
                tries += 1
                if tries > MOST_TRIES:
                    break
                recorder = Recorder()
                try:
                    return self.run(shapes, rows, steps, recorder), rows, steps
                except NotFollowed as stopped:
                    if best is None or len(recorder.calls) > best[0]:
                        best = len(recorder.calls), stopped
        raise NotFollowed("it takes no tensor") if best is None else best[1]

    def run(
        self,
        shapes: Mapping[str, Shape],
        rows: int,
        steps: int,
        recorder: Recorder | None = None,
        kept: Mapping[tuple[int, str], tuple[str, Any]] | None = None,
    ) -> Run:
        """`kept`: of what modules keep between calls the values that this one begins with, by their places."""
        recorder = recorder or Recorder()
        fed = {name: recorder.fed(name, shape.example(rows, steps)) for name, shape in shapes.items()}
        tracer = Tracer(self.script, recorder)
        inputs = dict(shapes)
        for key, (place, value) in (kept or {}).items():
            tracer.attributes[key] = self._begun(value, place, recorder, fed)
            if isinstance(value, torch.Tensor):
                inputs[place] = Shape(tuple(value.shape))
        answer = tracer.forward(list(self._arguments(fed)))
        outputs = list(_tensors(answer))
        if not outputs or not all(isinstance(one, Traced) for one in outputs):
            missing = next((one for one in outputs if not isinstance(one, Traced)), None)
            raise NotFollowed(getattr(missing, "why", "it answers something else than tensors"))
        changed = {key: (place, tracer.attributes[key]) for key, place in tracer.changed.items()}
        return Run(
            recorder,
            inputs,
            tuple(one.name for one in outputs),
            tuple(one.value for one in outputs),
            changed,
            tuple(tracer.decisions),
            tracer.loops,
        )

    def _begun(self, value: Any, place: str, recorder: Recorder, fed: Mapping[str, Traced]) -> Any:
        if isinstance(value, torch.Tensor):
            return recorder.fed(place, value)
        if isinstance(value, tuple):  # of an input, which axis
            name, axis = value
            return recorder.size(fed[name], axis)
        return value

    def _arguments(self, fed: Mapping[str, Traced]) -> Iterator[Any]:
        for argument in _arguments(self.script)[0]:
            name = argument.arg
            if name in self.numbers:
                value = self.numbers[name]
                yield int(value) if "int" in ast.unparse(argument.annotation or ast.Constant("")) else value
            elif self.signature.tensors.get(name, 0) > 1:
                yield [fed[f"{name}_{number}"] for number in range(self.signature.tensors[name])]
            elif name in fed:
                yield fed[name]
            elif argument.annotation is not None and ast.unparse(argument.annotation).startswith("Optional["):
                yield None
            else:
                return  # from here on they have defaults

    def _names(self) -> list[str]:
        return [
            name if count == 1 else f"{name}_{number}"
            for name, count in self.signature.tensors.items()
            for number in range(count)
        ]

    def _candidates(self) -> Iterator[tuple[dict[str, Shape], int]]:
        first, *others = self._names()
        widths = self._widths()
        for steps in (STEPS[0], *FRAMES):
            for shape in _sequences(widths) if steps == STEPS[0] else _rows():
                if not others:
                    yield {first: shape}, steps
                for other in _states(widths) if others else ():
                    yield {first: shape, **dict.fromkeys(others, other)}, steps
        planes = any(one.dim() == 4 for one in self._arrays())  # convolutions over time and bands
        for bands in BANDS if planes and not others else ():
            for sizes in (("b", 1, "t", bands), ("b", 1, bands, "t")):
                yield {first: Shape(sizes)}, STEPS[0]

    def _arrays(self) -> list[torch.Tensor]:
        return [one for one in (*self.script.tensors().values(), *self.script.constants) if isinstance(one, torch.Tensor)]

    def _widths(self) -> list[int]:
        """Of what weights read, those of the file's first modules first."""
        shapes = [tuple(one.shape) for one in self._arrays() if one.dim() > 1 and one.is_floating_point()]
        grouped = [shape[1] * groups for shape in shapes if len(shape) > 2 for groups in _divisors(shape[0])]
        return list(dict.fromkeys([*(shape[1] for shape in shapes), *grouped]))[:MOST_WIDTHS]


def _divisors(count: int) -> list[int]:
    return [one for one in range(2, count + 1) if count % one == 0]


def _sequences(widths: Sequence[int]) -> Iterator[Shape]:
    for width in widths:
        yield Shape(("b", "t", width))
    yield Shape(("b", "t"), ids=True)
    for width in widths:
        yield Shape(("b", width, "t"))
    for width in widths:
        yield Shape(("b", width))
    yield from _rows()


def _rows() -> Iterator[Shape]:
    yield Shape(("b", "t"))
    yield Shape(("b", 1, "t"))


def _states(widths: Sequence[int]) -> Iterator[Shape]:
    for width in widths:
        yield Shape(("b", width))
        yield from (Shape((depth, "b", width)) for depth in DEPTHS)


def _tensors(answer: Any) -> Iterator[Any]:
    if isinstance(answer, list):
        yield from chain.from_iterable(map(_tensors, answer))
    elif answer is not None and not isinstance(answer, bool | int | float | str | Count):
        yield answer


def program_of(trials: Trials, run: Run, rows: int, steps: int, kept: Mapping[tuple[int, str], tuple[str, Any]]) -> Program:
    """Of a run, with all that is the same at other numbers of rows and steps.

    Raises NotFollowed: it does otherwise at other lengths.
    """
    shapes = {name: shape for name, shape in run.inputs.items() if name not in {place for place, _ in kept.values()}}
    others, free = [run], set[str]()
    for letter, (more_rows, more_steps) in {"b": (ROWS[1], steps), "t": (rows, STEPS[1])}.items():
        if not any(letter in shape.sizes for shape in shapes.values()):
            continue
        more = {key: (place, _of_rows(value, rows, more_rows)) for key, (place, value) in kept.items()}
        try:
            others.append(trials.run(shapes, more_rows, more_steps, kept=more))
        except NotFollowed:
            continue  # it is of this number alone
        free.add(letter)
    free_counts = {
        name
        for name, value in run.recorder.scope.items()
        if isinstance(value, int) and any(other.recorder.scope.get(name) != value for other in others)
    }
    if (decision := next((one for one in run.decisions if one.of & free_counts), None)) is not None:
        raise NotFollowed(f"it does one thing or another by how many rows or steps it is given: {decision.text}", placed=True)
    calls = [_settled(call, run.recorder.scope, free_counts) for call in run.recorder.calls]
    for other in others[1:]:
        if len(other.recorder.calls) != len(calls):
            raise NotFollowed("what it does depends on how many rows or steps it is given")
        for own, theirs in zip(calls, other.recorder.calls):
            again = _settled(theirs, other.recorder.scope, free_counts)
            if (own.operation, own.given) != (again.operation, again.given):
                raise NotFollowed(f"{own.operation} is given a number that depends on how many rows or steps there are")
    sizes = {
        name: tuple(
            size if all(other.recorder.scope[name].shape[axis] == size for other in others) else None
            for axis, size in enumerate(value.shape)
        )
        for name, value in run.recorder.scope.items()
        if isinstance(value, torch.Tensor)
    }
    return Program(
        tuple(calls),
        tuple(ProgramInput(name, run.recorder.scope[name].dtype, sizes[name]) for name in run.inputs),
        run.outputs,
        run.recorder.constants,
        run.recorder.places,
        sizes,
        (),
        "",
    )


def _of_rows(value: Any, rows: int, wanted: int) -> Any:
    """A state of another number of rows; its axis of rows is the last of that size but for the features."""
    if not isinstance(value, torch.Tensor):
        return value
    axis = next((place for place in reversed(range(value.dim() - 1)) if value.shape[place] == rows), None)
    if axis is None:
        return value
    return torch.cat([value, *[value.narrow(axis, 0, 1)] * (wanted - rows)], axis) if wanted > rows else value


def _settled(call: Call, scope: Mapping[str, Any], free: set[str]) -> Call:
    return replace(call, given={name: _number(one, scope, free) for name, one in call.given.items()})


def _number(one: Any, scope: Mapping[str, Any], free: set[str]) -> Any:
    """Numbers that are the same whatever the program is given, as such."""
    if isinstance(one, list):
        return [_number(item, scope, free) for item in one]
    if isinstance(one, Named) and one.name not in free and isinstance(scope.get(one.name), int):
        return scope[one.name]
    return one
