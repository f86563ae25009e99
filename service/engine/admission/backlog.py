"""What is ahead of a newcomer among the sequences of one implementation on one lane, and when it would be done.

Whoever has little to do is served before whoever has much, who in turn is owed most of the time (chunk_queue.py): so ahead of a
newcomer are all that are no longer, and of the longer ones at most what those are owed for letting it pass. Figures are those of
the last iterations, and nothing is taken for slower than it was seen: rows beyond those that ran side by side lately are taken
to cost nothing until they have run, and the first iterations, in which much happens for the first time, are no measure.

The submitting side writes what is `submitted`, the worker's thread all else; either reads the other's figures, perhaps one
iteration old. Knows no clock, no deadlines and no clients.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from cellserve.service.engine.admission.stretches import Stretches
from cellserve.service.engine.admission.workload import Workload
from cellserve.service.engine.estimate import MEANINGFUL_SECONDS

_FORGETTING: Final = 0.9  # for each iteration
_BELIEVED: Final = 8.0  # times what iterations took lately
_FIRST: Final = 3  # iterations, of which any may have waited for something else
_OWED: Final = 3.0  # as in chunk_queue.py: what whoever is passed over has for each second of it
_REACH: Final = 2.0  # times the longest that was computed lately: so far what its own steps take is believed
_SHRINKING: Final = 0.99  # of that longest one, for each end of a sequence
_LEAST_OF_OWN: Final = 0.7  # of what a sequence takes beside others: what it takes at the very least while these are there


class Prospect(NamedTuple):
    """Of a newcomer: seconds for what is served before it, and seconds of its own."""

    ahead_seconds: float
    own_seconds: float


class Backlog:
    """most_rows: that an iteration may have side by side."""

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._submitted: dict[int, int] = {}  # time steps, by the octave of their sequence's length
        self._ended: dict[int, int] = {}
        self._workload = Workload(_FORGETTING)
        self._recent_iterations = self._recent_seconds = 0.0
        self._recent_rows = 0.0
        self._recent_live = 0.0
        self._longest_steps = 0.0
        self._iterations = 0
        self._stretches = Stretches()

    @property
    def sequences(self) -> int:
        """How many are under way or wait."""
        return self._workload.outstanding_sequences

    @property
    def steps(self) -> int:
        """How many are yet to be computed."""
        return max(0, self._workload.outstanding_steps)

    @property
    def seconds(self) -> float:
        """For all that is under way or waits; 0 before enough was measured."""
        return self.steps * self.seconds_per_step

    @property
    def seconds_per_step(self) -> float:
        """Of one row; 0 before enough was measured."""
        return self._seconds_per_step(self.sequences)

    def submit(self, steps: int) -> None:
        self._count(steps, 1)

    def withdraw(self, steps: int) -> None:
        """One that was submitted, and that no worker has been told of."""
        self._count(steps, -1)

    def computed(self, timesteps: int, steps: int, seconds: float) -> None:
        """An iteration of so many steps, `timesteps` of all rows together, took so long.

        One that took many times as long as those before it was kept from the processor: it counts as some, and only more like it
        as what they took. So do those before it, if their steps took many times as long as its own.
        """
        if self._iterations:
            seconds = min(seconds, _BELIEVED * self._recent_seconds / self._recent_iterations)
            self._workload.bound(_BELIEVED * seconds / timesteps)
        self._iterations += 1
        self._workload.computed(timesteps, seconds)
        self._recent_seconds = _FORGETTING * self._recent_seconds + seconds
        self._recent_iterations = _FORGETTING * self._recent_iterations + 1.0
        self._recent_rows = _FORGETTING * self._recent_rows + timesteps / steps
        self._recent_live = _FORGETTING * self._recent_live + max(1, min(self.sequences, self._most_rows))

    def lost(self, timesteps: int) -> None:
        """So many were computed, and their results never came."""
        self._workload.lost(timesteps)

    def end(self, steps: int, left: int) -> None:
        """A sequence of so many steps has ended, `left` of them never to be computed."""
        octave = steps.bit_length()
        self._ended[octave] = self._ended.get(octave, 0) + steps
        self._workload.dropped(left)
        self._longest_steps = max(float(steps - left), _SHRINKING * self._longest_steps)

    def learn(self, steps: int, predicted_seconds: float, seconds: float, left: int = 0) -> None:
        """A sequence has taken so long for which so much had been predicted, unstretched. left: steps that it still needed."""
        if predicted_seconds < MEANINGFUL_SECONDS:
            return
        if left:
            seconds += 2.0 * self.prospect(left).own_seconds
        octave = steps.bit_length()
        alike = (self._submitted.get(octave, 0) - self._ended.get(octave, 0)) / steps
        self._stretches.learn(steps, predicted_seconds, seconds, alike)

    def stretch(self, steps: int, predicted_seconds: float) -> float:
        """By how much a prediction for a sequence of so many steps must be stretched to be kept nearly always."""
        return self._stretches.of(steps, predicted_seconds)

    def prospect(self, steps: int) -> Prospect:
        """Of a newcomer with so many steps; zeros where too little has been measured."""
        sequences = self.sequences + 1
        per_step = self._seconds_per_step(sequences)
        rows = min(float(sequences), self._rows(sequences))
        own_steps = min(float(steps), _REACH * self._longest_steps)  # single steps do not tell what a thousand take in one call
        return Prospect(self._ahead_steps(steps) * per_step, own_steps * per_step * rows)

    def least_seconds(self, steps: int) -> float:
        """What so many steps take at the very least beside those that are there now; 0 for who is alone: nobody is in its way."""
        return _LEAST_OF_OWN * self.prospect(steps).own_seconds if self.sequences > 1 else 0.0

    def _count(self, steps: int, sequences: int) -> None:
        octave = steps.bit_length()
        self._submitted[octave] = self._submitted.get(octave, 0) + sequences * steps
        self._workload.submitted_steps += sequences * steps
        self._workload.submitted_sequences += sequences

    def _ahead_steps(self, steps: int) -> float:
        """All that are no longer, and what longer ones are owed; each as far as it has not been computed, on average."""
        octave = steps.bit_length()
        no_longer = longer = 0
        for other, submitted in self._submitted.items():
            under_way = submitted - self._ended.get(other, 0)
            if other <= octave:
                no_longer += under_way
            else:
                longer += under_way
        if no_longer + longer <= 0:
            return 0.0
        left = min(1.0, self.steps / (no_longer + longer))
        return left * no_longer + min(left * longer, _OWED * (left * no_longer + steps))

    def _rows(self, sequences: int) -> float:
        """Side by side in an iteration where so many sequences are there."""
        if not self._recent_iterations:
            return 1.0
        seen = self._recent_live / self._recent_iterations
        return self._recent_rows / self._recent_iterations * max(1.0, min(sequences, self._most_rows) / seen)

    def _seconds_per_step(self, sequences: int) -> float:
        """Of one row, where so many sequences are there."""
        per_step = self._workload.seconds_per_step
        if per_step is None or self._iterations < _FIRST:
            return 0.0
        seen = self._recent_live / self._recent_iterations
        return per_step * min(1.0, seen / max(1, min(sequences, self._most_rows)))
