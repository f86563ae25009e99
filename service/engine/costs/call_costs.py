"""What a call of a kernel takes for given rows and steps, measured before any traffic.

seconds = (row_step·rows + step)·steps + row·rows + call, as the fit of iterations has it. That fit sees whatever shapes come,
mostly alike, and so cannot tell its terms apart; here the four shapes are chosen. Knows no kernel and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

_MANY_ROWS: Final = 16  # from which on more of them cost in proportion
_MOST_STEPS: Final = 4096
_MANY_STEPS: Final = 2.0  # times what one step of one row takes: then what each of them costs shows


class CallCosts(NamedTuple):
    """pads: whether every row is computed up to the longest."""

    row_step_seconds: float
    step_seconds: float
    row_seconds: float
    call_seconds: float
    pads: bool

    def seconds(self, lengths: Sequence[int]) -> float:
        """Of one call for rows of such lengths."""
        rows, longest = len(lengths), max(lengths)
        row_steps = rows * longest if self.pads else sum(lengths)
        return self.row_step_seconds * row_steps + self.step_seconds * longest + self.row_seconds * rows + self.call_seconds


def call_costs(seconds_of: Callable[[int, int], float], pads: bool) -> CallCosts:
    """seconds_of: measures a call of so many rows and steps, all of one length."""
    measured = cache(seconds_of)
    steps = 2
    while steps < _MOST_STEPS and measured(1, steps) < _MANY_STEPS * measured(1, 1):
        steps *= 2
    one, many, more_steps, more_rows = measured(1, steps), measured(_MANY_ROWS, steps), steps - 1, _MANY_ROWS - 1
    of_one_row = max(0.0, one - measured(1, 1)) / more_steps
    of_many_rows = max(0.0, many - measured(_MANY_ROWS, 1)) / more_steps
    row_step = min(of_one_row, max(0.0, of_many_rows - of_one_row) / more_rows)
    step = of_one_row - row_step
    row = max(0.0, (measured(_MANY_ROWS, 1) - measured(1, 1)) / more_rows - row_step)
    return CallCosts(row_step, step, row, max(0.0, measured(1, 1) - row_step - step - row), pads)
