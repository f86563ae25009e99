"""One loaded version on one worker: its network, its rows of state and its scheduler, and the guard around each batch.

The scheduler decides, a runner computes, and the lane ends sequences: whatever happens to one, exactly one Delivery leaves
here. A device that works on its own is given the next iteration before the last one is collected, so that it never waits for the
host. Everything but `fact` and `least_seconds` runs on the worker's thread. Knows no threads, no queue, no other lanes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cellserve.models.devices import Device
from cellserve.models.served import Served
from cellserve.models.steps.network import StepNetwork
from cellserve.service.engine.admission.admission import Admission
from cellserve.service.engine.admission.backlog import Backlog
from cellserve.service.engine.admission.workload import Workload
from cellserve.service.engine.batch import Batch, Delivery
from cellserve.service.engine.costs.observed_durations import ObservedDurations
from cellserve.service.engine.costs.pass_costs import PassCosts
from cellserve.service.engine.facts import IterationFact, LaneFact, Observer, SequenceFact, Share, VersionKey
from cellserve.service.engine.notify import notify
from cellserve.service.engine.running.chunk_runner import ChunkRunner
from cellserve.service.engine.running.in_flight import InFlight
from cellserve.service.engine.running.launch import Launch
from cellserve.service.engine.running.measured_call import MeasuredCall
from cellserve.service.engine.running.one_by_one import OneByOne
from cellserve.service.engine.running.transfers import Transfers
from cellserve.service.engine.scheduling.chunk_queue import ChunkQueue
from cellserve.service.engine.scheduling.feed_queue import FeedQueue
from cellserve.service.engine.scheduling.overlapped_budget import OverlappedBudget
from cellserve.service.engine.scheduling.pass_queue import PassQueue
from cellserve.service.engine.scheduling.scheduler import Budget, Queue, Scheduler
from cellserve.service.engine.sequence import Sequence, Work
from cellserve.service.engine.settings import EngineSettings
from cellserve.service.engine.state_pool import StatePool
from cellserve.service.engine.step_runner import StepRunner
from cellserve.service.errors import Cancelled, DeadlineExpired, InternalFailure, ServiceError

log = logging.getLogger(__name__)

FAILED: Final = "the computation of this sequence failed on the server"


@dataclass(frozen=True, slots=True)
class LaneHost:
    """What the lanes of one worker share.

    ended: takes every Delivery, and how long its sequence was here, on the worker's thread, and does not raise.
    """

    settings: EngineSettings
    budget: Budget
    workload: Workload
    admission: Admission
    observer: Observer
    ended: Callable[[Delivery, float], None]
    clock: Callable[[], float]
    processor_clock: Callable[[], float]  # of the worker's thread
    transfers_of: Callable[[Device], Transfers]


class Runner(Protocol):
    """ChunkRunner, PassRunner or StepRunner, or OneByOne around them."""

    def run(self, batch: Batch) -> Launch | None:
        """None: every sequence of the batch is advanced. Otherwise that is under way, and is to be collected."""
        ...


class Lane:
    """`implementation` is for work that names none. calls: what the network offers over host memory.

    A causal network is one pass; others take several, one after the other.
    """

    def __init__(
        self,
        key: VersionKey,
        network: Served,
        implementation: str,
        host: LaneHost,
        calls: Mapping[str, MeasuredCall],
    ) -> None:
        self.key = key
        self.network = network
        self.implementation = implementation
        self.workload = Workload()
        self._host = host
        # Where others want the core too, or the interpreter, waiting for them is no cost of rows and steps.
        self._cost_clock = host.processor_clock if network.device.type == "cpu" else host.clock
        self._workloads = (self.workload, host.workload)
        self._owed: dict[int, Sequence] = {}  # admitted and not yet reported
        self._observed_durations: defaultdict[str, ObservedDurations] = defaultdict(ObservedDurations)  # by implementation
        self.backlogs: dict[str, Backlog] = {}  # by implementation; entries are made on the submitting side and stay
        self._pool = StatePool(network.state_layout.width, host.settings.max_active_sequences, network.device)
        passes = network.passes
        self._in_flight: InFlight | None = None
        self._traced = 0  # of those owed
        transfers = host.transfers_of(network.device)
        budget = OverlappedBudget(host.budget) if passes is None and transfers.deferred else host.budget
        self._runner = _runner(network, self._pool, transfers, calls)
        self._scheduler = Scheduler(
            self._queue, budget, 1 if passes is None else len(passes.passes) + 1, self._least_left_seconds
        )

    @property
    def busy(self) -> bool:
        """Whether there is anything to do, or to collect."""
        return bool(self._owed) or self._in_flight is not None

    def fact(self) -> LaneFact:
        """Any thread."""
        pool = self._pool
        return LaneFact(
            self.key,
            self.workload.outstanding_steps,
            self._scheduler.active,
            pool.free,
            pool.used,
            self.network.weights_bytes,
            pool.bytes,
        )

    def passes(self, work: Work) -> tuple[int, ...]:
        """The time steps of each pass over a sequence; nothing where there is but one. Any thread."""
        return () if self.network.passes is None else self.network.passes.steps(work.fed)

    def backlog(self, implementation: str) -> Backlog:
        """The submitting side only."""
        backlog = self.backlogs.get(implementation)
        if backlog is None:
            backlog = self.backlogs[implementation] = Backlog(self._host.settings.max_batch_rows)
        return backlog

    def least_seconds(self, implementation: str, steps: int, now_seconds: float) -> float:
        """How long so many steps of one sequence will take at the very least, alone, as others did lately; 0 if there were none.

        Any thread.
        """
        observed = self._observed_durations.get(implementation)
        return 0.0 if observed is None else observed.least_seconds(steps, now_seconds)

    def admit(self, sequence: Sequence) -> None:
        self._owed[sequence.id] = sequence
        if sequence.work.iteration_log is not None:
            self._traced += 1
        self._scheduler.admit(sequence)

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence of this lane; nothing happens if it is not (or no longer) here."""
        sequence = self._scheduler.cancel(sequence_id)
        if sequence is not None:
            self._end(sequence, "cancelled", Cancelled("the request was cancelled"))

    def expire(self, now_seconds: float) -> None:
        """Ends everybody whose deadline has passed, or passes before they could be done: what they would cost is spared."""
        for sequence in self._scheduler.expire(now_seconds):
            deadline = sequence.work.deadline_seconds or now_seconds
            done = f"{sequence.position} of {sequence.total} time steps"
            if deadline <= now_seconds:
                self._end(sequence, "expired", DeadlineExpired(f"the deadline passed after {done} had been computed"))
                continue
            self._end(sequence, "dropped", self._host.admission.late(done, deadline - now_seconds))

    def iterate(self) -> None:
        """Advances one batch, if anybody can run, and ends the sequences that it completes. A row that raises fails alone.

        Where the device works on its own, it is the batch before whose sequences end; if nobody can run, the last one.
        """
        started, cost_started = self._host.clock(), self._cost_clock()
        batch = self._scheduler.next_batch(started, self._pool.free)
        if batch is None:
            self._collect()
            return
        try:
            launch = self._runner.run(batch)
        except Exception:
            self._fail(batch)
            return
        if launch is not None:
            self._go_on(batch, launch, started)
            return
        seconds = self._host.clock() - started
        self._count(batch, seconds)
        completed = self._scheduler.retire(batch, started, seconds, self._cost_clock() - cost_started)
        self._tell(batch, seconds)
        for sequence in batch.sequences:
            if sequence.failed:
                self._scheduler.cancel(sequence.id)
                self._end(sequence, "failed", InternalFailure(FAILED))
        for sequence in completed:
            if not sequence.failed:
                self._end(sequence, "done", None)

    def end_all(self, reason: str, error: ServiceError) -> None:
        """Ends everybody live with one error, but for those whose last steps are under way."""
        self._collect()
        for sequence in self._scheduler.sequences():
            self._scheduler.cancel(sequence.id)
            self._end(sequence, reason, error)

    def abandon(self, error: ServiceError) -> None:
        """Reports everybody owed an answer as failed, touching nothing that may be broken: for a dead loop."""
        if self._in_flight is not None:
            self._lose(self._in_flight)
            self._in_flight = None
        for sequence in list(self._owed.values()):
            self.report(sequence, "failed", error)

    def report(self, sequence: Sequence, reason: str, error: ServiceError | None) -> None:
        """The one place where a Delivery is made. The observer is told."""
        if self._owed.pop(sequence.id, None) is not None and sequence.work.iteration_log is not None:
            self._traced -= 1
        now, started = self._host.clock(), sequence.started_seconds
        queue_seconds = max(0.0, (now if started is None else started) - sequence.submitted_seconds)
        self._observed_durations[sequence.implementation].observe(sequence.position, sequence.compute_seconds, now)
        for workload in self._workloads:
            workload.dropped(sequence.left)
        self._learn(sequence, reason, now)
        self._host.ended(
            Delivery(
                sequence.id,
                tuple(sequence.outputs) if error is None else (),
                sequence.state if error is None else None,
                error,
                sequence.implementation,
                sequence.steps,
                sequence.iterations,
                queue_seconds,
                sequence.compute_seconds,
            ),
            now - sequence.submitted_seconds,
        )
        notify(
            self._host.observer.on_sequence_end,
            SequenceFact(
                self.key,
                sequence.implementation,
                reason,
                sequence.steps,
                sequence.iterations,
                queue_seconds,
                sequence.compute_seconds,
                sequence.estimate.ratio(now - sequence.submitted_seconds) if reason == "done" else None,
            ),
        )

    def _learn(self, sequence: Sequence, reason: str, now_seconds: float) -> None:
        """What its end tells those who will come."""
        estimate, backlog = sequence.estimate, self.backlogs[sequence.implementation]
        backlog.end(sequence.total, sequence.left)
        self._host.admission.end(estimate)
        if reason in ("done", "expired", "dropped"):
            taken = now_seconds - sequence.submitted_seconds
            backlog.learn(sequence.total, estimate.predicted_seconds, taken, sequence.left)

    def _queue(self, implementation: str, costs: PassCosts) -> Queue:
        rows, patience_seconds = self._host.settings.max_batch_rows, self._host.settings.join_latency_seconds
        if isinstance(self.network, StepNetwork) and self.network.spec.whole_feeds:
            return FeedQueue(implementation, costs[0], rows)
        if self.network.passes is None:
            return ChunkQueue(implementation, costs[0], rows, patience_seconds)
        return PassQueue(implementation, costs, rows, patience_seconds, self.network.passes.most_stored_bytes)

    def _go_on(self, batch: Batch, launch: Launch, started_seconds: float) -> None:
        """Goes on as if the batch were done, and collects the one before it, which the device has done or is doing.

        A row that nobody needs any more is free at once, also where a sequence is cancelled meanwhile: whatever its next owner
        puts there is launched after all that was launched for the last one, and the device keeps that order.
        """
        completed = self._scheduler.launched(batch, started_seconds)
        for sequence in completed:
            self._release(sequence)
        before, self._in_flight = self._in_flight, InFlight(batch, launch, completed)
        if before is not None:
            self._collect_iteration(before)

    def _collect(self) -> None:
        """Whatever is under way."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None:
            self._collect_iteration(in_flight)

    def _collect_iteration(self, in_flight: InFlight) -> None:
        """Some of its sequences may have ended by now: cancelled, expired, or failed with another batch."""
        batch = in_flight.batch
        try:
            seconds = in_flight.launch.collect()
        except Exception:
            self._lose(in_flight)
            self._fail(batch)
            return
        self._count(batch, seconds)
        self._scheduler.collected(batch, seconds)
        self._tell(batch, seconds)
        for sequence in in_flight.completed:
            if sequence.id in self._owed:
                self._end(sequence, "done", None)

    def _count(self, batch: Batch, seconds: float) -> None:
        for workload in self._workloads:
            workload.computed(batch.timesteps, seconds)
        self.backlogs[batch.implementation].computed(batch.timesteps, batch.steps, seconds)
        if self._traced:
            self._trace(batch, seconds)

    def _trace(self, batch: Batch, seconds: float) -> None:
        began_seconds = self._host.clock() - seconds
        for sequence, steps in zip(batch.sequences, batch.lengths):
            if (told := sequence.work.iteration_log) is not None:
                told.add(Share(began_seconds, seconds, batch.implementation, 1, steps, batch.rows, batch.steps))

    def _least_left_seconds(self, sequence: Sequence, now_seconds: float) -> float:
        """As they run now, for one that has not begun: then it is the first to be dropped, before it costs anything."""
        begun = sequence.started_seconds is not None
        own = 0.0 if begun else self.backlogs[sequence.implementation].least_seconds(sequence.left)
        return max(own, self.least_seconds(sequence.implementation, sequence.left, now_seconds))

    def _lose(self, in_flight: InFlight) -> None:
        self.backlogs[in_flight.batch.implementation].lost(in_flight.batch.timesteps)
        for workload in self._workloads:
            workload.lost(in_flight.batch.timesteps)

    def _tell(self, batch: Batch, seconds: float) -> None:
        notify(
            self._host.observer.on_iteration,
            IterationFact(self.key, batch.implementation, batch.rows, batch.steps, batch.timesteps, seconds),
        )

    def _fail(self, batch: Batch) -> None:
        log.exception("%s: a batch of %d sequences failed under implementation %r", self.key, batch.rows, batch.implementation)
        for sequence in batch.sequences:
            if sequence.id in self._owed:
                self._scheduler.cancel(sequence.id)
                self._end(sequence, "failed", InternalFailure(FAILED))

    def _end(self, sequence: Sequence, reason: str, error: ServiceError | None) -> None:
        self._release(sequence)
        sequence.memory = None
        self.report(sequence, reason, error)

    def _release(self, sequence: Sequence) -> None:
        if sequence.row is not None:
            handle, sequence.row = sequence.row, None
            self._pool.release(handle)


def _runner(network: Served, pool: StatePool, transfers: Transfers, calls: Mapping[str, MeasuredCall]) -> Runner:
    if isinstance(network, StepNetwork):
        return OneByOne(StepRunner(network, pool))
    if network.passes is None:
        chunks = ChunkRunner(network, pool, transfers, calls)
        return chunks if transfers.deferred else OneByOne(chunks)
    from cellserve.service.engine.running.pass_runner import PassRunner  # which needs torch, as such a network does

    return OneByOne(PassRunner(network, network.passes, pool))
