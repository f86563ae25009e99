"""What it means that a state dict holds one array under several names: a module known by two names, or a matrix used twice.

Knows names alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from cellserve.models.errors import ImportRefused


def refuse_twins(names: Iterable[str], same: Sequence[Sequence[str]], source: str) -> None:
    """Raises ImportRefused for two modules of the very same arrays, which either are one, or one that runs twice.

    A matrix alone is let through: it is the table of an embedding that the head uses again, or can be told from its width.
    """
    arrays = _by_module(names)
    shared = {frozenset(pair) for group in same for pair in combinations(group, 2)}
    for one, other in combinations(arrays, 2):
        own = arrays[one]
        if own != {"weight"} and own == arrays[other] and all(_pair(one, other, name) in shared for name in own):
            raise ImportRefused(
                source,
                f"{one or '(top)'} and {other or '(top)'} are the same arrays: one module under two names, or one that runs "
                "twice, which the file does not say; name what runs, in order, with `order: [...]` in a --description",
            )


def tied(names: Iterable[str], same: Sequence[Sequence[str]]) -> frozenset[str]:
    """Modules whose `weight` another module uses too: the table of an embedding and the head that has learned with it."""
    known = set(names)
    groups = [[name.rpartition(".")[0] for name in group if name in known and name.endswith("weight")] for group in same]
    return frozenset(owner for group in groups if len(group) > 1 for owner in group)


def _by_module(names: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        owner, _, own = name.rpartition(".")
        found.setdefault(owner, set()).add(own)
    return found


def _pair(one: str, other: str, name: str) -> frozenset[str]:
    return frozenset(f"{owner}.{name}" if owner else name for owner in (one, other))
