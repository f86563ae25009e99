"""Short work computed at once, on the caller's thread: a few steps cost less than the way to a worker and back.

Which work is short was measured when the version was added: so many time steps of one sequence as fit into the given seconds of
the processor, more of them for one that nobody else would wait behind. Several that come together share calls, as far as padding
the shorter ones costs less than one more call. It waits for nobody. Knows no queue, no worker, no lock; calls may overlap.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.models.implementations.onnxruntime.chunk_call import ChunkCall
from cellserve.models.network import Network
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import IterationFact, Observer, SequenceFact, VersionKey
from cellserve.service.engine.notify import notify
from cellserve.service.engine.running.host_copies import copied, side_by_side
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InternalFailure

Array = npt.NDArray[Any]

log = logging.getLogger(__name__)

_MOST_STEPS: Final = 4096
_RUNS: Final = 3  # the lowest counts
_MANY: Final = 16  # rows, from which on more of them cost in proportion
_TOGETHER: Final = 5  # times what one sequence may take: what the rows of one request may
NO_SEQUENCE: Final = -1


class CallCosts(NamedTuple):
    """Of one implementation. most_steps: of one sequence, to be short; most_steps_alone: where nothing else is under way.

    row_step_seconds: of a time step of one of many rows.
    """

    most_steps: int
    most_steps_alone: int
    call_seconds: float
    row_step_seconds: float

    def seconds(self, rows: int, steps: int) -> float:
        return self.call_seconds + rows * steps * self.row_step_seconds


class AtOnce:
    """One version. longest_seconds: of the processor, that one sequence may take; 0 for none at all.

    alone_seconds: that it may take where nothing else is under way, if that is longer. implementations: those that are ready;
    None for all that the network offers.
    """

    def __init__(
        self,
        key: VersionKey,
        network: Network,
        observer: Observer,
        longest_seconds: float,
        alone_seconds: float,
        clock: Callable[[], float],
        processor_clock: Callable[[], float] = time.thread_time,
        implementations: Sequence[str] | None = None,
    ) -> None:
        self._key = key
        self._network = network
        self._observer = observer
        self._clock = clock
        self._processor_clock = processor_clock
        self._longest_seconds, self._alone_seconds = longest_seconds, alone_seconds
        self._together_seconds = _TOGETHER * longest_seconds
        self._dtype = np.dtype(np.int64 if network.spec.inputs[0].kind == "ids" else np.float32)
        self._width = network.state_layout.width
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]
        self._calls: dict[str, ChunkCall] = {}
        self._costs: dict[str, CallCosts] = {}
        self.longest_steps = 0
        for label in network.offered if implementations is None else implementations:
            self.add(label)

    def add(self, implementation: str) -> None:
        """Measures what is short under an implementation that is ready, and takes it from then on. Any thread."""
        if self._longest_seconds <= 0 or not self._network.causal or implementation in self._costs:
            return
        call, width = self._network.chunk_call(implementation), self._network.spec.inputs[0].width
        if call is None:
            return
        seconds_of = partial(self._seconds, call, () if width is None else (width,), self._processor_clock)
        costs = call_costs(seconds_of, self._longest_seconds, self._alone_seconds)
        self._calls[implementation], self._costs[implementation] = call, costs
        self.longest_steps = max(self.longest_steps, costs.most_steps_alone)

    def takes(self, works: Sequence[Work], implementation: str, alone: bool) -> bool:
        """Whether each of `works`, the rows of one request, is short, and all of them together are not long.

        alone: nothing else is under way.
        """
        costs = self._costs.get(implementation)
        if costs is None:
            return False
        most_steps = costs.most_steps_alone if alone else costs.most_steps
        refuses = self._calls[implementation].refuses
        for work in works:
            if work.mask is not None or not 0 < work.steps <= most_steps or refuses(work.inputs[0]):
                return False
        return len(works) == 1 or self._seconds_of([work.steps for work in works], costs) <= self._together_seconds

    def run(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]:
        """The deliveries, in order, of work that it takes, perhaps of several requests; the observer is told, as by a lane.

        arrived_seconds: for each, on the engine's clock. A failure is in the deliveries.
        """
        if len(works) == 1:
            return self._together(works, implementation, arrived_seconds)
        deliveries: dict[int, Delivery] = {}
        for group in groups_of([work.steps for work in works], self._costs[implementation]):
            mates = [works[place] for place in group]
            deliveries |= zip(group, self._together(mates, implementation, [arrived_seconds[place] for place in group]))
        return [deliveries[place] for place in range(len(works))]

    def _together(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]:
        """In one call."""
        started = self._clock()
        lengths = [work.steps for work in works]
        try:
            steps = side_by_side([work.inputs[0] for work in works], self._dtype)
            answer = self._calls[implementation](steps, lengths, self._states(works), range(len(works)))
        except Exception:
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
        states = np.zeros((len(works), self._width), np.float32)
        for place, work in enumerate(works):
            if work.state is not None:
                states[place] = work.state
        return states

    def _seconds_of(self, lengths: Sequence[int], costs: CallCosts) -> float:
        """Predicted, of a request with rows of such lengths."""
        return sum(costs.seconds(len(group), lengths[group[-1]]) for group in groups_of(lengths, costs))

    def _seconds(
        self, call: ChunkCall, features: tuple[int, ...], processor_clock: Callable[[], float], rows: int, steps: int
    ) -> float:
        inputs, states = np.zeros((rows, steps, *features), self._dtype), np.zeros((rows, self._width), np.float32)
        lowest = float("inf")
        for _ in range(_RUNS):
            started = processor_clock()
            call(inputs, [steps] * rows, states, range(rows))
            lowest = min(lowest, processor_clock() - started)
        return lowest


def call_costs(seconds_of: Callable[[int, int], float], longest_seconds: float, alone_seconds: float) -> CallCosts:
    """seconds_of: measures a call of so many rows and steps."""
    alone_of = cache(partial(seconds_of, 1))
    most = most_steps(alone_of, longest_seconds)
    most_alone = max(most, most_steps(alone_of, alone_seconds))
    steps = max(1, most // 4)
    more_seconds = max(0.0, seconds_of(_MANY, steps) - alone_of(1))
    return CallCosts(most, most_alone, alone_of(1), more_seconds / (_MANY * steps))


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


def groups_of(lengths: Sequence[int], costs: CallCosts) -> list[list[int]]:
    """The places of `lengths`, each group for one call, shorter ones first: another call where it is cheaper than the padding."""
    groups: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        more = lengths[place] - longest
        if not groups or len(groups[-1]) * more * costs.row_step_seconds > costs.call_seconds:
            groups.append([])
        groups[-1].append(place)
        longest = lengths[place]
    return groups
