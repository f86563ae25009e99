"""How the cells and the matrices of a TensorFlow 1 checkpoint follow one another, which it does not say.

Scopes tell which cells are one MultiRNNCell or the two directions of a bidirectional_rnn; between those, widths decide: each
reads what the one before it wrote. Where they leave it open, a person must say it. Knows no values and no ModelSpec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.names import natural
from cellserve.models.importers.tensorflow1.variables import Cell, Shape

MAX_PERMUTED: Final = 6
LEVEL: Final = re.compile(r"cell_(\d+)")
MULTI: Final = re.compile(r"multi_rnn_cell(_\d+)?")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One call of dynamic_rnn or of bidirectional_dynamic_rnn.

    `passes`: its cells, lowest first; forward, then backward. `joined`: two outputs stand side by side, not added or the like.
    """

    name: str
    passes: tuple[tuple[Cell, ...], ...]
    joined: bool

    @property
    def input_width(self) -> int:
        return self.passes[0][0].input_width

    @property
    def output_width(self) -> int:
        return sum(cells[-1].output_width for cells in (self.passes if self.joined else self.passes[:1]))


@dataclass(frozen=True, slots=True)
class Matrix:
    """`kernel` [in, out] and perhaps `bias` [out], by the variables' names; or the table [vocabulary, units] of an embedding."""

    name: str
    kernel: str
    shape: tuple[int, int]
    bias: str | None

    @property
    def input_width(self) -> int:
        return self.shape[0]

    @property
    def output_width(self) -> int:
        return self.shape[1]


Module = Recurrence | Matrix


@dataclass(frozen=True, slots=True)
class Arrangement:
    embedding: Matrix | None
    recurrences: tuple[Recurrence, ...]
    head: tuple[Matrix, ...]

    def variables(self) -> frozenset[str]:
        """Names of all that it computes with."""
        cells = (cell for recurrence in self.recurrences for cells in recurrence.passes for cell in cells)
        matrices = self.head if self.embedding is None else (self.embedding, *self.head)
        stored = [name for matrix in matrices for name in (matrix.kernel, matrix.bias) if name is not None]
        return frozenset((*stored, *(name for cell in cells for name in cell.variables.values())))


def recurrences(cells: Iterable[Cell], *, joined: bool, source: str) -> list[Recurrence]:
    """In the natural order of their scopes' names. Raises ImportRefused: cells of one scope that do not fit each other."""
    found: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in cells:
        name, side, depth = _place(cell.scope)
        found.setdefault(name, {}).setdefault(side, {})[depth] = cell
    grouped = [_recurrence(name, sides, joined, source) for name, sides in found.items()]
    return sorted(grouped, key=lambda one: natural(one.name))


def _place(scope: str) -> tuple[str, str, int]:
    """The scope of the call that ran the cell (the cell's own where nothing else tells it), "fw", "bw" or "", the depth."""
    parts, depth, side = scope.split("/")[:-1], 0, ""
    if len(parts) >= 2 and MULTI.fullmatch(parts[-2]) and (level := LEVEL.fullmatch(parts[-1])):
        parts, depth = parts[:-2], int(level[1])
        name = "/".join(parts) or scope.split("/")[0]
    else:
        name = scope
    if parts and parts[-1] in ("fw", "bw"):
        side = parts[-1]
        name = "/".join(parts[:-1]) or "bidirectional"
    return name, side, depth


def _recurrence(name: str, sides: Mapping[str, Mapping[int, Cell]], joined: bool, source: str) -> Recurrence:
    if set(sides) not in ({""}, {"fw", "bw"}):
        raise ImportRefused(source, f"one direction is missing: only {', '.join(sides)} is there", layer=name)
    for side in sides.values():
        cells = [side[depth] for depth in sorted(side)]
        if sorted(side) != list(range(len(side))) or any(low.output_width != high.input_width for low, high in pairwise(cells)):
            listed = ", ".join(f"{cell.scope} {cell.input_width}→{cell.output_width}" for cell in cells)
            raise ImportRefused(source, f"its cells do not follow one another: {listed}", layer=name)
    passes = tuple(tuple(sides[side][depth] for depth in sorted(sides[side])) for side in sorted(sides, reverse=True))
    if len({cells[0].input_width for cells in passes}) > 1:
        raise ImportRefused(source, "its two directions read inputs of different widths", layer=name)
    return Recurrence(name, passes, joined)


def matrices(others: Mapping[str, Shape]) -> tuple[list[Matrix], dict[str, Shape]]:
    """(the matrices, each with the one vector that can be its bias; the variables that fit none)."""
    kernels = {name: shape for name, shape in others.items() if len(shape) == 2}
    biases: dict[str, str] = {}
    left: dict[str, Shape] = {}
    for vector, shape in sorted(others.items(), key=lambda item: natural(item[0])):
        if vector in kernels:
            continue
        fitting = [name for name in kernels if (kernels[name][1],) == shape and name not in biases]
        beside = [name for name in fitting if _scope(name) == _scope(vector)]
        chosen = beside if len(beside) == 1 else fitting
        if len(chosen) == 1:
            biases[chosen[0]] = vector
        else:
            left[vector] = shape
    found = [Matrix(_module_name(name), name, (shape[0], shape[1]), biases.get(name)) for name, shape in kernels.items()]
    return sorted(found, key=lambda one: natural(one.name)), left


def arrange(found: Sequence[Module], order: Sequence[str] | None, source: str) -> Arrangement:
    """`order`: the modules' names as a person gave them; others are left out. Raises ImportRefused: no order can be told."""
    if order is not None:
        by_name = {module.name: module for module in found}
        for name in order:
            if name not in by_name:
                listed = ", ".join(by_name)
                raise ImportRefused(source, f"the checkpoint holds no such module; it holds {listed}", layer=name, option="order")
        return _as_ordered([by_name[name] for name in order], source)
    stacks = _chain([module for module in found if isinstance(module, Recurrence)], source)
    rest = [module for module in found if isinstance(module, Matrix)]
    tables = [matrix for matrix in rest if "embed" in matrix.kernel.lower() and matrix.bias is None]
    tables = [table for table in tables if table.output_width == stacks[0].input_width]
    embedding = tables[0] if len(tables) == 1 else None
    return Arrangement(embedding, stacks, _head([matrix for matrix in rest if matrix is not embedding], stacks[-1], source))


def _as_ordered(modules: Sequence[Module], source: str) -> Arrangement:
    first = modules[0] if modules else None
    embedding = first if isinstance(first, Matrix) else None
    rest = modules[1:] if embedding is not None else modules
    stacks = tuple(module for module in rest if isinstance(module, Recurrence))
    head = tuple(module for module in rest if isinstance(module, Matrix))
    widths_fit = all(before.output_width == after.input_width for before, after in pairwise(rest))
    table_fits = embedding is None or (embedding.bias is None and stacks and embedding.output_width == stacks[0].input_width)
    if not stacks or list(rest) != [*stacks, *head] or not widths_fit or not table_fits:
        raise ImportRefused(
            source,
            "in this order they do not fit: an embedding may come first, then cells, then matrices, each as wide as the output "
            f"before it ({_widths(modules)}); anything else can be described layer by layer (`layers`)",
            option="order",
        )
    return Arrangement(embedding, stacks, head)


def _chain(stacks: Sequence[Recurrence], source: str) -> tuple[Recurrence, ...]:
    """As their names are numbered where the widths agree with it, else in the only order in which they agree."""
    if _fits(stacks):
        return tuple(stacks)
    fitting = [order for order in permutations(stacks) if _fits(order)] if len(stacks) <= MAX_PERMUTED else []
    if len(fitting) != 1:
        raise ImportRefused(
            source,
            f"the checkpoint does not tell in which order its cells are computed ({_widths(stacks)}); name them in order with "
            "`order: [...]` in a --description",
        )
    return fitting[0]


def _head(rest: Sequence[Matrix], last: Recurrence, source: str) -> tuple[Matrix, ...]:
    head: list[Matrix] = []
    width = last.output_width
    remaining = list(rest)
    while fitting := [matrix for matrix in remaining if matrix.input_width == width]:
        if len(fitting) > 1:
            raise unexplained({matrix.kernel: matrix.shape for matrix in remaining}, source)
        head.append(fitting[0])
        remaining.remove(fitting[0])
        width = fitting[0].output_width
    if remaining:
        raise unexplained({matrix.kernel: matrix.shape for matrix in remaining}, source)
    return tuple(head)


def unexplained(variables: Mapping[str, Shape], source: str) -> ImportRefused:
    listed = ", ".join(f"{name} {list(shape)}" for name, shape in variables.items())
    return ImportRefused(
        source,
        f"what the program does with {listed} cannot be told from a checkpoint. Name the parts that are the model, in the order "
        "of the data, with `order: [...]` in a --description, or describe the network layer by layer with `layers: [...]`",
    )


def _fits(stacks: Sequence[Recurrence]) -> bool:
    return all(before.output_width == after.input_width for before, after in pairwise(stacks))


def _scope(name: str) -> str:
    return name.rpartition("/")[0]


def _module_name(kernel: str) -> str:
    scope, _, own = kernel.rpartition("/")
    return scope if scope and own in ("kernel", "weights") else kernel


def _widths(modules: Sequence[Module]) -> str:
    return ", ".join(f"{module.name} {module.input_width}→{module.output_width}" for module in modules)
