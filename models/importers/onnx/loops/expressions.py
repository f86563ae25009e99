"""What one step of a loop computes, on paper: matrices times atoms, which are the step, the states and functions of such.

Every value is [B, n]. Two values are the same where they were made the same way. Knows no cells and no operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.importers.onnx.values import NotTranslated

Array = npt.NDArray[Any]
MOST_TERMS, MOST_FACTORS = 64, 4  # of a cell's equations; those of a damaged file could grow without bound
LARGEST_WIDTH = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """`name`: "x" or a state; else `function` of one argument, or, without it, the product of two. Told apart by identity."""

    width: int
    name: str = ""
    function: Activation | None = None
    arguments: tuple[Affine, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """The sum of atoms, each times a matrix [its width, n], and of a vector [n]."""

    parts: Mapping[Atom, Array]
    bias: Array

    @property
    def width(self) -> int:
        return len(self.bias)

    @property
    def pure(self) -> Atom | None:
        """The atom that it is, as it is."""
        if len(self.parts) != 1 or self.bias.any():
            return None
        atom, matrix = next(iter(self.parts.items()))
        return atom if _is_identity(matrix) else None

    def same_as(self, other: Affine) -> bool:
        """Whether both are the same sum, though made one after the other."""
        parts = {atom: matrix for atom, matrix in self.parts.items() if matrix.any()}
        others = {atom: matrix for atom, matrix in other.parts.items() if matrix.any()}
        alike = parts.keys() == others.keys() and all(np.array_equal(matrix, others[atom]) for atom, matrix in parts.items())
        return alike and np.array_equal(self.bias, other.bias)

    def __add__(self, other: Affine) -> Affine:
        parts = dict(self.parts)
        for atom, matrix in other.parts.items():
            parts[atom] = parts[atom] + matrix if atom in parts else matrix
        return Affine({atom: matrix for atom, matrix in parts.items() if matrix.any()}, self.bias + other.bias)

    def times(self, matrix: Array) -> Affine:  # [n, m]
        return Affine({atom: own @ matrix for atom, own in self.parts.items()}, self.bias @ matrix)

    def scaled(self, scale: Array | float) -> Affine:  # [n] or a number
        return Affine({atom: own * scale for atom, own in self.parts.items()}, self.bias * scale)

    def shifted(self, shift: Array) -> Affine:  # [n] or [1]
        return Affine(self.parts, self.bias + shift)


@dataclass
class Expressions:
    """Makes atoms, the same one for the same thing."""

    made: dict[tuple[Any, ...], tuple[Affine, tuple[Any, ...]]] = field(default_factory=dict)

    def named(self, name: str, width: int) -> Affine:
        if not 0 < width <= LARGEST_WIDTH:
            raise NotTranslated(f"it goes over vectors of {width:,} numbers")
        return self._atom(("named", name), (), lambda: Atom(width, name))

    def applied(self, function: Activation, argument: Affine) -> Affine:
        return self._atom(
            ("applied", function, id(argument)), (argument,), lambda: Atom(argument.width, "", function, (argument,))
        )

    def product(self, one: Affine, other: Affine) -> Affine:
        key = ("product", *sorted((id(one), id(other))))
        return self._atom(key, (one, other), lambda: Atom(one.width, arguments=(one, other)))

    def columns(self, value: Affine, places: Sequence[int]) -> Affine:
        """Some of them. Of a function or a product it is that of the same columns of its arguments."""
        if list(places) == list(range(value.width)):
            return value
        key = ("columns", id(value), tuple(places))
        if key not in self.made:
            atom = value.pure
            if atom is not None and atom.arguments:
                inner = [self.columns(argument, places) for argument in atom.arguments]
                made = self.applied(atom.function, inner[0]) if atom.function is not None else self.product(*inner)
            else:
                chosen = list(places)
                made = Affine({own: matrix[:, chosen] for own, matrix in value.parts.items()}, value.bias[chosen])
            self.made[key] = made, (value,)
        return self.made[key][0]

    def _atom(self, key: tuple[Any, ...], alive: tuple[Any, ...], make: Any) -> Affine:
        if key not in self.made:
            atom = make()
            self.made[key] = Affine({atom: np.eye(atom.width)}, np.zeros(atom.width)), alive  # what the key names stays alive
        return self.made[key][0]


def atoms_of(values: Iterable[Affine]) -> set[Atom]:
    """All that they are made of, however deep."""
    found: set[Atom] = set()
    left = [atom for value in values for atom, matrix in value.parts.items() if matrix.any()]
    while left:
        atom = left.pop()
        if atom not in found:
            found.add(atom)
            left += [inner for argument in atom.arguments for inner in argument.parts]
    return found


Monomial = tuple[Atom, ...]


def expanded(value: Affine) -> dict[Monomial, float] | None:
    """As a sum of products of atoms, each times a number, by the atoms in the order of their ids; None: matrices mix columns.

    The empty product is 1.
    """
    return _expanded(value, {})


def _expanded(value: Affine, known: dict[int, dict[Monomial, float] | None]) -> dict[Monomial, float] | None:
    """`known`: by the ids of values that others are made of, which are worked out once."""
    if id(value) in known:
        return known[id(value)]
    total: dict[Monomial, float] | None = {}
    if value.bias.size and np.ptp(value.bias) > 0:
        total = None
    elif value.bias.any():
        total = {(): float(value.bias[0])}
    for atom, matrix in value.parts.items():
        scale = float(matrix[0, 0])
        if matrix.shape[0] != matrix.shape[1] or not np.array_equal(matrix, np.eye(len(matrix)) * scale):
            total = None
        inner: dict[Monomial, float] | None = {(atom,): 1.0}
        if total is not None and atom.arguments and atom.function is None:
            one, other = (_expanded(argument, known) for argument in atom.arguments)
            inner = _multiplied(one, other)
        if total is None or inner is None:
            total = None
            break
        for monomial, count in inner.items():
            total[monomial] = total.get(monomial, 0.0) + scale * count
    known[id(value)] = total if total is None else {monomial: count for monomial, count in total.items() if count}
    return known[id(value)]


def _multiplied(one: dict[Monomial, float] | None, other: dict[Monomial, float] | None) -> dict[Monomial, float] | None:
    if one is None or other is None:
        return None
    if len(one) * len(other) > MOST_TERMS or len(max((*one, *other), key=len, default=())) > MOST_FACTORS:
        return None
    made: dict[Monomial, float] = {}
    for left, a in one.items():
        for right, b in other.items():
            key = tuple(sorted((*left, *right), key=id))
            made[key] = made.get(key, 0.0) + a * b
    return made


def _is_identity(matrix: Array) -> bool:
    return matrix.shape[0] == matrix.shape[1] and bool(np.array_equal(matrix, np.eye(len(matrix))))
