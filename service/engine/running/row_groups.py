"""Which rows of an iteration go into one call of a kernel, which computes every row up to the longest: padding costs, calls too.

Pure: rows are given by their numbers of time steps. Knows no batch and no kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

_OF_A_CALL = 256  # steps of one row: what a call more must save, as a small network's call costs
_OF_A_STEP = 4  # rows: what each step of a call costs beside its rows, and what few rows lose


def rows_of_first_call(lengths: Sequence[int]) -> int:
    """How many rows, from the first on, had better go into a call of their own; 0: all go together.

    Right for any order, best where the longest come last.
    """
    rows, steps = len(lengths), max(lengths)
    if rows * steps - sum(lengths) < _OF_A_CALL:
        return 0
    saved = [row * (steps - longest) - _OF_A_STEP * longest for row, longest in enumerate(accumulate(lengths, max), 1)]
    most = max(saved)
    return saved.index(most) + 1 if most >= _OF_A_CALL else 0
