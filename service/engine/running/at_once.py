"""Short work computed at once, on the caller's thread: a few steps cost less than the way to a worker and back.

Which work is short was measured when the version was added: so many time steps of one sequence as fit into the given seconds of
the processor, more of them for one that nobody else would wait behind. Several that come together share calls, by what calls and
padding were measured to cost (costs/call_groups.py). It waits for nobody. Knows no queue, no worker, no lock; calls may overlap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.models.served import Served
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.costs.call_costs import CallCosts
from cellserve.service.engine.costs.call_groups import groups_of
from cellserve.service.engine.facts import IterationFact, Observer, SequenceFact, VersionKey
from cellserve.service.engine.notify import notify
from cellserve.service.engine.running.host_copies import copied, side_by_side
from cellserve.service.engine.running.measured_call import MeasuredCall, input_dtype
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InternalFailure

Array = npt.NDArray[Any]

log = logging.getLogger(__name__)

_MOST_STEPS: Final = 4096
_TOGETHER: Final = 5  # times what one sequence may take: what the rows of one request may
NO_SEQUENCE: Final = -1


class _Short(NamedTuple):
    """How many steps of one sequence are short. most_alone: where nothing else is under way."""

    most: int
    most_alone: int


class AtOnce:
    """One version. calls: what its network offers, by implementation. longest_seconds: of the processor, that one sequence may
    take; 0 for none at all. alone_seconds: that it may take where nothing else is under way, if that is longer.
    """

    def __init__(
        self,
        key: VersionKey,
        network: Served,
        calls: Mapping[str, MeasuredCall],
        observer: Observer,
        longest_seconds: float,
        alone_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._key = key
        self._observer = observer
        self._clock = clock
        self._together_seconds = _TOGETHER * longest_seconds
        self._dtype = input_dtype(network)
        self._layout = network.state_layout
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]
        self._longest_seconds, self._alone_seconds = longest_seconds, alone_seconds
        self._calls: dict[str, MeasuredCall] = {}
        self._short: dict[str, _Short] = {}
        self.longest_steps = 0
        for label, call in calls.items():
            self.add(label, call)

    def add(self, implementation: str, call: MeasuredCall) -> None:
        """Takes what is short under an implementation that the network offers from now on, too. Any thread."""
        if self._longest_seconds > 0:
            short = self._short[implementation] = _short(call, self._longest_seconds, self._alone_seconds)
            self._calls[implementation] = call
            self.longest_steps = max(self.longest_steps, short.most_alone)

    def takes(self, works: Sequence[Work], implementation: str, alone: bool) -> bool:
        """Whether each of `works`, the rows of one request, is short, and all of them together are not long.

        alone: nothing else is under way.
        """
        measured = self._calls.get(implementation)
        if measured is None:
            return False
        short, refuses = self._short[implementation], measured.call.refuses
        most_steps = short.most_alone if alone else short.most
        for work in works:
            if work.mask is not None or not 0 < work.steps <= most_steps or refuses(work.inputs[0]):
                return False
        return len(works) == 1 or _seconds_of([work.steps for work in works], measured.costs) <= self._together_seconds

    def run(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]:
        """The deliveries, in order, of work that it takes, perhaps of several requests; the observer is told, as by a lane.

        arrived_seconds: for each, on the engine's clock. A failure is in the deliveries.
        """
        lengths = [work.steps for work in works]
        if len(works) == 1:
            return self._together(works, lengths, implementation, arrived_seconds)
        deliveries: dict[int, Delivery] = {}
        for group in groups_of(lengths, self._calls[implementation].costs):
            mates, of_mates = [works[place] for place in group], [lengths[place] for place in group]
            arrived = [arrived_seconds[place] for place in group]
            deliveries |= zip(group, self._together(mates, of_mates, implementation, arrived))
        return [deliveries[place] for place in range(len(works))]

    def _together(
        self, works: Sequence[Work], lengths: Sequence[int], implementation: str, arrived_seconds: Sequence[float]
    ) -> list[Delivery]:
        """In one call. lengths: the steps of each."""
        started = self._clock()
        try:
            steps = side_by_side([work.inputs[0] for work in works], self._dtype)
            answer = self._calls[implementation].call(steps, lengths, self._states(works), range(len(works)))
        except Exception:
            if len(works) > 1:  # whoever is to blame must not fail its mates
                alone = [
                    self._together([work], [length], implementation, [arrived])
                    for work, length, arrived in zip(works, lengths, arrived_seconds)
                ]
                return [delivery for deliveries in alone for delivery in deliveries]
            log.exception("%s: %d sequences failed under implementation %r", self._key, len(works), implementation)
            return self._ended(lengths, implementation, arrived_seconds, started, None)
        timesteps, seconds = sum(lengths), self._clock() - started
        fact = IterationFact(self._key, implementation, len(works), max(lengths), timesteps, seconds)
        notify(self._observer.on_iteration, fact)
        results = []
        for place, (work, length) in enumerate(zip(works, lengths)):
            outputs = [
                output[place, :length] if per_step else output[place] for output, per_step in zip(answer.outputs, self._per_step)
            ]
            state = answer.state[place] if work.want_state else None
            if len(works) > 1:  # whoever keeps an answer must not keep those of its mates
                outputs = [copied(output) for output in outputs]
                state = None if state is None else copied(state)
            results.append((tuple(outputs), state))
        return self._ended(lengths, implementation, arrived_seconds, started, results)

    def _ended(
        self,
        lengths: Sequence[int],
        implementation: str,
        arrived_seconds: Sequence[float],
        started_seconds: float,
        results: Sequence[tuple[tuple[Array, ...], Array | None]] | None,
    ) -> list[Delivery]:
        """results: outputs and wanted state of each; None if the call has failed."""
        per_step_seconds = (self._clock() - started_seconds) / sum(lengths)
        reason = "failed" if results is None else "done"
        deliveries = []
        for place, (length, arrived) in enumerate(zip(lengths, arrived_seconds)):
            waited_seconds, share_seconds = started_seconds - arrived, length * per_step_seconds
            outputs, state = ((), None) if results is None else results[place]
            error = InternalFailure("the computation of this sequence failed on the server") if results is None else None
            fact = SequenceFact(self._key, implementation, reason, length, 1, waited_seconds, share_seconds)
            notify(self._observer.on_sequence_end, fact)
            deliveries.append(
                Delivery(NO_SEQUENCE, outputs, state, error, implementation, length, 1, waited_seconds, share_seconds)
            )
        return deliveries

    def _states(self, works: Sequence[Work]) -> npt.NDArray[np.float32]:
        """[B, width]."""
        states = self._layout.first_rows(len(works))
        for place, work in enumerate(works):
            if work.state is not None:
                states[place] = work.state
        return states


def _short(measured: MeasuredCall, longest_seconds: float, alone_seconds: float) -> _Short:
    of_one = partial(measured.seconds_of, 1)
    most = most_steps(of_one, longest_seconds)
    return _Short(most, max(most, most_steps(of_one, alone_seconds)))


def _seconds_of(lengths: Sequence[int], costs: CallCosts) -> float:
    """Predicted, of a request with rows of such lengths."""
    return sum(costs.seconds([lengths[place] for place in group]) for group in groups_of(lengths, costs))


def most_steps(seconds_of: Callable[[int], float], longest_seconds: float) -> int:
    """The most time steps whose call takes at most so long; measured by doubling, between two measurements in proportion."""
    fitting, fitting_seconds, steps = 0, 0.0, 1
    while steps <= _MOST_STEPS:
        seconds = seconds_of(steps)
        if seconds > longest_seconds:
            share = (longest_seconds - fitting_seconds) / (seconds - fitting_seconds)
            return fitting + int((steps - fitting) * share) if fitting else 0
        fitting, fitting_seconds, steps = steps, seconds, 2 * steps
    return fitting
