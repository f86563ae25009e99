"""What the next iteration will cost, even or ragged: the fit of the even ones, and the factor by which ragged ones cost more.

A batch is ragged if a row ends inside it. Some kernels take that at no cost, or at less than that of all the padding, others run
it at less than half the speed, and which of them this is depends on the processor as well; so it is measured. The factor is
forgotten slowly while no ragged batch is run, so that one bad measurement is not believed for ever. Ragged batches teach the fit
too, at their time without the factor: where nearly all are ragged, the few even ones are of special shapes. Only one that takes
clearly more than it should is taken to speak of the factor alone. Knows no clock and no scheduling.
"""

from __future__ import annotations

from cellserve.service.engine.costs.model import CostModel

_LOWER, _HIGHER = 0.5, 0.1  # weight of the newest ragged iteration: a measurement can be late, but never early
_FORGOTTEN = 0.995  # of its distance from 1, for each even iteration
_CLEARLY_MORE = 1.25
_LOWEST, _HIGHEST = 0.5, 4.0  # measurements beyond these are stalls, or a fit that is not there yet


class IterationCosts:
    """One thread observes; any thread may read `seconds` and `trusted`."""

    def __init__(self) -> None:
        self._even = CostModel()
        self._ragged_factor = 1.0

    @property
    def ragged_factor(self) -> float:
        return self._ragged_factor

    @property
    def trusted(self) -> bool:
        """Whether enough was measured to rely on it."""
        return self._even.trusted

    def seconds(self, rows: int, steps: int, ragged: bool = False) -> float:
        """0 before the first measurement."""
        even = self._even.seconds(rows, steps)
        return even * self._ragged_factor if ragged else even

    def steps_within(self, seconds: float, rows: int, ragged: bool = False) -> int:
        """Most steps of `rows` rows that should take at most `seconds`; at least 1. Only for the thread that observes.

        If ragged, even where little padding can be saved: the factor is that of all of them together.
        """
        return self._even.steps_within(seconds / max(self._ragged_factor, 1.0) if ragged else seconds, rows)

    def rows_within(self, seconds: float, steps: int, most: int) -> int:
        """How many rows, of at most `most`, should take at most `seconds` for so many steps, even; perhaps none."""
        return self._even.rows_within(seconds, steps, most)

    def enough_rows(self, most: int) -> int:
        """From how many rows on, of at most `most`, more of them make a row and step hardly cheaper."""
        return self._even.enough_rows(most)

    def observe(self, rows: int, steps: int, seconds: float, ragged: bool = False) -> None:
        """Learns from one iteration. The first ones teach the fit alone, whatever they were."""
        if not ragged:
            self._ragged_factor = 1.0 + (self._ragged_factor - 1.0) * _FORGOTTEN
        elif self._even.trusted:
            ratio = seconds / max(self._even.seconds(rows, steps), 1e-9)
            change = min(max(ratio, _LOWEST), _HIGHEST) - self._ragged_factor
            self._ragged_factor += change * (_HIGHER if change > 0 else _LOWER)
            if ratio > _CLEARLY_MORE * self._ragged_factor:
                return
            seconds /= self._ragged_factor
        self._even.observe(rows, steps, seconds)
