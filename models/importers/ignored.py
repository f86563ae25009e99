"""Arrays of a file that a person says the model does not use (`ignore` in a --description). Knows no file formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from cellserve.models.errors import ImportRefused

Stored = TypeVar("Stored")


def without_ignored(arrays: dict[str, Stored], patterns: Sequence[str], source: str) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """The arrays that stay, and a note. Raises what `matching` does."""
    left = matching(arrays, patterns, source)
    return {name: array for name, array in arrays.items() if name not in left}, said_of(left)


def matching(names: Iterable[str], patterns: Sequence[str], source: str) -> list[str]:
    """Those of `names` that a pattern names, in which * stands for anything.

    Raises ImportRefused: a pattern that no name matches, which is a slip of the pen more often than not.
    """
    known = list(names)
    found: list[str] = []
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            listed = ", ".join(sorted(known))
            raise ImportRefused(source, f"no array of the file is named {pattern!r}; it holds {listed}", option="ignore")
        found += [name for name in fitting if name not in found]
    return found


def said_of(left: Sequence[str]) -> tuple[str, ...]:
    return (f"Ignored, as the description says: {', '.join(left)}.",) if left else ()
