"""Which rows go side by side in one call of a kernel that computes every row up to the longest: padding costs, calls too.

Pure: rows are given by their numbers of time steps, costs as they were measured. Knows no batch and no kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cellserve.service.engine.costs.call_costs import CallCosts


def groups_of(lengths: Sequence[int], costs: CallCosts) -> list[list[int]]:
    """The places of `lengths`, each group for one call, shorter ones first: another call wherever it costs less than the padding.

    Cut is where that saves most, and again on both sides. Where several cuts together would save anything, one alone does.
    """
    together = range(len(lengths))
    if not _may_save(lengths, costs):
        return [list(together)]
    places = sorted(together, key=lengths.__getitem__)
    ordered = [lengths[place] for place in places]
    cuts: list[int] = []
    open_parts = [(0, len(places))]
    while open_parts:
        start, stop = open_parts.pop()
        cut = _best_cut(ordered, start, stop, costs)
        if cut is not None:
            cuts.append(cut)
            open_parts += (start, cut), (cut, stop)
    return [places[start:stop] for start, stop in pairwise((0, *sorted(cuts), len(places)))]


def _may_save(lengths: Sequence[int], costs: CallCosts) -> bool:
    """Whether all padding together costs more than a call of one step."""
    padding = len(lengths) * max(lengths) - sum(lengths)
    return costs.pads and padding * costs.row_step_seconds > costs.call_seconds + costs.step_seconds


def _best_cut(ordered: Sequence[int], start: int, stop: int, costs: CallCosts) -> int | None:
    """Where a call of their own for the shorter ones saves most: their padding is spared, their steps come once more."""
    row_step, step, call = costs.row_step_seconds, costs.step_seconds, costs.call_seconds
    longest, best, most = ordered[stop - 1], None, 0.0
    for place in range(start, stop - 1):
        length = ordered[place]
        saved = (place + 1 - start) * (longest - length) * row_step - length * step - call
        if saved > most:
            best, most = place + 1, saved
    return best
