"""Masks as what they are made of: a step counts where, of every clause, at least one comparison holds.

In this form (conjunctive, without clauses that follow from others) two masks count the same steps just if they are equal. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from itertools import product
from typing import Final

Comparison = tuple[str, str, float]  # ("any_not_equal" | "not_equal", tensor, value): how Masking and Embedding make masks
MaskLogic = frozenset[frozenset[Comparison]]

EVERYTHING: Final[MaskLogic] = frozenset()  # every step counts, as where there is no mask
NOTHING: Final[MaskLogic] = frozenset({frozenset()})


def where(kind: str, tensor: str, value: float) -> MaskLogic:
    return frozenset({frozenset({(kind, tensor, value)})})


def all_of(masks: Iterable[MaskLogic]) -> MaskLogic:
    return _without_consequences(frozenset().union(*masks))


def any_of(masks: Iterable[MaskLogic]) -> MaskLogic:
    return reduce(lambda one, other: _without_consequences(mine | its for mine, its in product(one, other)), masks, NOTHING)


def _without_consequences(clauses: Iterable[frozenset[Comparison]]) -> MaskLogic:
    found = frozenset(clauses)
    return frozenset(clause for clause in found if not any(other < clause for other in found))
