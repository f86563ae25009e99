"""The arrays of a file by name, with what the file says of them beside the numbers. Knows no file formats and no networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from cellserve.models.importers.ignored import matching, said_of

Arrays = Mapping[str, npt.NDArray[Any]]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredArrays:
    """`arrays`: those of the model, narrower floats in float32.

    `same`: names of `arrays` that stand for one and the same array of the file, group by group. `beside`: arrays that the file
    holds in other places, which an import does not read. `precisions`: the floating types in which the file holds `arrays`.
    """

    arrays: Arrays
    same: tuple[tuple[str, ...], ...] = ()
    beside: Mapping[str, Shape] = field(default_factory=dict)
    precisions: frozenset[str] = frozenset()
    by_name: bool = False
    notes: tuple[str, ...] = ()

    def with_note(self, note: str) -> StoredArrays:
        return replace(self, notes=(*self.notes, note))

    def without(self, patterns: Sequence[str], source: str) -> StoredArrays:
        """Less what a person says the model does not use. Raises ImportRefused: a pattern that nothing matches."""
        left = matching([*self.arrays, *self.beside], patterns, source)
        groups = (tuple(name for name in group if name not in left) for group in self.same)
        return replace(
            self,
            arrays={name: array for name, array in self.arrays.items() if name not in left},
            same=tuple(group for group in groups if len(group) > 1),
            beside={name: shape for name, shape in self.beside.items() if name not in left},
            notes=(*self.notes, *said_of(left)),
        )
