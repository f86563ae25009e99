"""Arrays of a file that a person says the model does not use (`ignore` in a --description). Knows no file formats."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from cellserve.models.errors import ImportRefused

Stored = TypeVar("Stored")


def without_ignored(arrays: dict[str, Stored], patterns: Sequence[str], source: str) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """The arrays that stay, and a note. `patterns`: names, in which * stands for anything.

    Raises ImportRefused: a pattern that no array matches, which is a slip of the pen more often than not.
    """
    left = []
    for pattern in patterns:
        matching = [name for name in arrays if fnmatchcase(name, pattern)]
        if not matching:
            listed = ", ".join(sorted(arrays))
            raise ImportRefused(source, f"no array of the file is named {pattern!r}; it holds {listed}", option="ignore")
        left += [name for name in matching if name not in left]
    notes = (f"Ignored, as the description says: {', '.join(left)}.",) if left else ()
    return {name: array for name, array in arrays.items() if name not in left}, notes
