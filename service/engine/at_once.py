"""Short work computed at once, on the caller's thread: a few steps cost less than the way to a worker and back.

Which work is short was measured when the version was added: so many time steps of one sequence as fit into the given seconds of
the processor. It waits for nobody and joins no batch. Knows no queue, no worker, no lock; calls may overlap.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from cellserve.models.network import Network
from cellserve.models.packed_chunk import PackedChunk
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import IterationFact, Observer, SequenceFact, VersionKey
from cellserve.service.engine.packed_runner import plain
from cellserve.service.engine.sequence import Work
from cellserve.service.engine.telling import tell
from cellserve.service.errors import InternalFailure, ServiceError

log = logging.getLogger(__name__)

_MOST_STEPS = 1024
_RUNS = 3  # the lowest counts
NO_SEQUENCE = -1


class AtOnce:
    """One version. `longest_seconds`: of the processor, that one call may take; 0 for none at all."""

    def __init__(
        self,
        key: VersionKey,
        network: Network,
        observer: Observer,
        longest_seconds: float,
        clock: Callable[[], float],
        processor_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._key = key
        self._observer = observer
        self._clock = clock
        self._dtype = np.dtype(np.int64 if network.spec.inputs[0].kind == "ids" else np.float32)
        self._blank = np.zeros((1, network.state_layout.width), np.float32)
        self._per_step = [network.shapes[reference].sequence for reference in network.spec.outputs]
        chunks = {label: network.packed(label) for label in network.offered} if longest_seconds > 0 and network.causal else {}
        self._chunks = {label: chunk for label, chunk in chunks.items() if chunk is not None}
        width = network.spec.inputs[0].width
        features = () if width is None else (width,)
        self._most_steps = {
            label: most_steps(partial(self._seconds, chunk, features, processor_clock), longest_seconds)
            for label, chunk in self._chunks.items()
        }
        self.longest_steps = max(self._most_steps.values(), default=0)

    def takes(self, work: Work, implementation: str) -> bool:
        if work.mask is not None or not 0 < work.steps <= self._most_steps.get(implementation, 0):
            return False
        return not self._chunks[implementation].refuses(work.inputs[0])

    def run(self, work: Work, implementation: str) -> Delivery:
        """The delivery of work that it takes; the observer is told, as by a lane. A failure is in the delivery."""
        started, steps = self._clock(), work.steps
        state = self._blank if work.state is None else work.state.reshape(1, -1)
        error: ServiceError | None = None
        try:
            answer = self._chunks[implementation](plain(work.inputs[0], self._dtype), (steps,), state, (0,))
        except Exception:
            log.exception("%s: a sequence failed under implementation %r", self._key, implementation)
            error = InternalFailure("the computation of this sequence failed on the server")
        seconds = self._clock() - started
        reason = "done" if error is None else "failed"
        if error is None:
            tell(self._observer.on_iteration, IterationFact(self._key, implementation, 1, steps, steps, seconds))
        tell(self._observer.on_sequence_end, SequenceFact(self._key, implementation, reason, steps, 1, 0.0, seconds))
        if error is not None:
            return Delivery(NO_SEQUENCE, (), None, error, implementation, steps, 1, 0.0, seconds)
        outputs = tuple(output if per_step else output[0] for output, per_step in zip(answer.outputs, self._per_step))
        final = answer.state[0] if work.want_state else None
        return Delivery(NO_SEQUENCE, outputs, final, None, implementation, steps, 1, 0.0, seconds)

    def _seconds(self, chunk: PackedChunk, features: tuple[int, ...], processor_clock: Callable[[], float], steps: int) -> float:
        inputs = np.zeros((steps, *features), self._dtype)
        lowest = float("inf")
        for _ in range(_RUNS):
            started = processor_clock()
            chunk(inputs, (steps,), self._blank, (0,))
            lowest = min(lowest, processor_clock() - started)
        return lowest


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
