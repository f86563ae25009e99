"""The one door into the computation: submit a sequence, get exactly one Delivery for it.

Refuses what cannot be served, has the rest placed (placement.py), and carries cancel, drain and stop to the loops. Messages in
and out are plain arrays and facts. Knows no gRPC, no registry, no metrics library, no event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from threading import Event, Lock

from cellserve.models.devices import Device
from cellserve.models.measuring.calibration import Calibration, calibrate
from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.models.served import Served
from cellserve.models.steps.network import StepNetwork
from cellserve.service.engine.admission.admission import check_deadline
from cellserve.service.engine.admission.appointments import Appointments
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.commands import Cancel, Submit, WhenIdle
from cellserve.service.engine.facts import LaneFact, Observer, VersionKey
from cellserve.service.engine.lane import Lane
from cellserve.service.engine.placement import Placement, check_implementation
from cellserve.service.engine.preparation import Preparation, Unprepared, Way
from cellserve.service.engine.running.at_once import AtOnce
from cellserve.service.engine.running.measured_call import measured_calls
from cellserve.service.engine.running.transfers import Transfers, transfers_of
from cellserve.service.engine.sequence import Sequence, Work
from cellserve.service.engine.settings import EngineSettings
from cellserve.service.engine.worker import Worker
from cellserve.service.errors import Draining, InternalFailure, InvalidInput, Overloaded, ServiceError, UnknownVersion

__all__ = ["Engine", "EngineSettings"]


class Engine:
    """deliver: called on a worker's thread, at most once per iteration, with everything that ended in it; it must not block, and
    it may run before the `submit` that it answers has returned. If it raises, the engine is dead, loudly (`on_death`).
    clock: seconds; that of the deadlines. processor_clock: seconds that the calling thread has had of a processor, by which costs
    are learned; None: `clock` again. transfers_of: the ways to and from a network's device.
    """

    def __init__(
        self,
        deliver: Callable[[list[Delivery]], None],
        observer: Observer,
        settings: EngineSettings,
        on_death: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
        processor_clock: Callable[[], float] | None = time.thread_time,
        transfers_of: Callable[[Device], Transfers] = transfers_of,
    ) -> None:
        self._settings = settings
        self._on_death = on_death
        self._clock = clock
        self._processor_clock = clock if processor_clock is None else processor_clock
        self._lock = Lock()  # the submitters' side only; no loop ever takes it
        self._placements: dict[VersionKey, Placement] = {}
        self._observer = observer
        self._added = 0
        self._submitted = 0
        self._draining = False
        self._healthy = True
        appointments = Appointments(settings.workers)
        self._workers = tuple(
            Worker(
                f"cellserve-worker-{index}",
                deliver,
                observer,
                settings,
                self._worker_died,
                clock,
                self._processor_clock,
                transfers_of,
                appointments,
                settings.worker_cores[index % len(settings.worker_cores)] if settings.worker_cores else None,
            )
            for index in range(settings.workers)
        )

    @property
    def healthy(self) -> bool:
        """False for good once a worker's loop has died."""
        return self._healthy

    @property
    def workers(self) -> tuple[Worker, ...]:
        """For driving the loops by hand, without `start`."""
        return self._workers

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def add_version(
        self,
        key: VersionKey,
        network: Served,
        implementation: str | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        """Makes a version ready for `submit`, with a state pool on every worker. Any thread, at any time.

        implementation: for work that names none; None means the network's own default. preparation: which ways are ready, if
        not all are; the others are when they are first asked for.
        Raises UnknownImplementation, UnsupportedImplementation; ValueError if the version is there already.
        """
        default = network.default_implementation if implementation is None else implementation
        check_implementation(key, network, default)
        ready = [label for label in network.offered if preparation is None or preparation.is_ready(label, masked=False)]
        calls = measured_calls(network, self._processor_clock, ready)
        lanes = [Lane(key, network, default, worker.host, calls) for worker in self._workers]
        short, alone = self._settings.at_once_seconds, self._settings.at_once_alone_seconds
        at_once = AtOnce(key, network, calls, self._observer, short, alone, self._clock)

        def offer(label: str) -> None:
            if label not in calls and network.implementations[label] is None:
                for added, call in measured_calls(network, self._processor_clock, [label]).items():
                    at_once.add(added, call)
                    calls[added] = call  # which the lanes see

        with self._lock:
            if key in self._placements:
                raise ValueError(f"{key} is in the engine already; remove it first")
            workloads = [worker.workload for worker in self._workers]
            self._placements[key] = Placement(lanes, workloads, self._added % len(self._workers), at_once, preparation, offer)
            self._added += 1

    def remove_version(self, key: VersionKey) -> None:
        """Takes no new work for it, if it is there; what is live finishes, and with the last sequence its lanes are gone."""
        with self._lock:
            self._placements.pop(key, None)

    def measure(self, key: VersionKey) -> Calibration:
        """Measures a version's implementations on the calling thread, which takes about 0.2 s. Raises UnknownVersion.

        Where not all are ready, those that run in one call, which it prepares: what needs torch is not worth its memory.
        """
        with self._lock:
            placement = self._known(key)
        network = placement.lanes[0].network
        if isinstance(network, StepNetwork):
            return Calibration(dict.fromkeys(TRAFFIC_KINDS, network.default_implementation), {})
        if placement.preparation is None:
            from torch import set_num_threads

            set_num_threads(1)
            return calibrate(network)
        for label in network.in_one_call:
            placement.prepare(Way(label, False))
        return calibrate(network, candidates=network.in_one_call or [placement.lanes[0].implementation])

    def choose(self, key: VersionKey, by_kind: Mapping[TrafficKind, str]) -> None:
        """From now on, work that names no implementation gets the one of its kind. Any thread that may wait for preparations.

        Raises UnknownVersion, UnknownImplementation, UnsupportedImplementation.
        """
        with self._lock:
            placement = self._known(key)
        for label in set(by_kind.values()):
            check_implementation(key, placement.lanes[0].network, label)
            placement.prepare(Way(label, False))
        with self._lock:
            self._known(key).choose(by_kind)

    def short(self, works: Rows[Work], alone: bool) -> str | None:
        """The implementation under which `works`, the rows of one request, may run at once; None: they must be submitted.

        alone: the caller knows of nothing else that is under way. Any thread. Raises what `submit` raises of the same work,
        but for Overloaded.
        """
        first = works[0]
        with self._lock:
            self._check_running()
            placement = self._known(first.version)
            at_once = placement.at_once
            if first.steps > at_once.longest_steps:
                return None
            implementation = placement.implementation(first, 0)
        idle = alone and not any(worker.workload.outstanding_sequences for worker in self._workers)
        if not at_once.takes(works, implementation, idle):
            return None
        check_deadline(first.deadline_seconds, self._clock(), 0.0)
        return implementation

    def run_at_once(self, works: Rows[Work], implementation: str, arrived_seconds: Rows[float]) -> list[Delivery]:
        """Computes work of one version on the calling thread, side by side: the deliveries, in order. Any thread.

        works: of one request or several, each of which `short` gave this implementation. arrived_seconds: for each, on the
        engine's clock. Raises UnknownVersion.
        """
        return self._known(works[0].version).at_once.run(works, implementation, arrived_seconds)

    def submit(self, work: Work, asker: Asker = ANYBODY) -> int:
        """Takes in a sequence and returns its id. As `submit_all`."""
        return self.submit_all((work,), asker)[0]

    def submit_all(self, works: Rows[Work], asker: Asker = ANYBODY) -> list[int]:
        """Takes in the rows of one request, or none of them: their ids, in order. Any thread; never waits for a loop.

        Raises UnknownVersion, UnknownImplementation, UnsupportedImplementation, InvalidInput (no time steps), Overloaded,
        DeadlineExpired, Draining, and InternalFailure if the engine is dead.
        """
        with self._lock:
            self._check_running()
            now = self._clock()
            idle = [worker.workload.outstanding_sequences == 0 for worker in self._workers]
            admitted: list[tuple[Worker, Lane, Sequence]] = []
            try:
                for work in works:
                    admitted.append(self._admit(work, asker, now, idle, bool(admitted)))
            except (ServiceError, Unprepared):
                for worker, lane, sequence in admitted:
                    self._withdraw(worker, lane, sequence)
                raise
            if not all(worker.post(Submit(lane, sequence)) for worker, lane, sequence in admitted):
                raise InternalFailure("the server's engine has failed and takes no more work")
            return [sequence.id for _, _, sequence in admitted]

    def spare(self) -> bool:
        """Whether a worker has nothing to do. Any thread."""
        return any(worker.workload.outstanding_sequences == 0 for worker in self._workers)

    def expects(self, ticket: str) -> bool:
        """Whether whoever has this ticket was told to come now. Any thread."""
        with self._lock:
            return self._workers[0].admission.expects(ticket, self._clock())

    def turn_away(self) -> Overloaded:
        """For a call that there is no time to read: when it should come again. Any thread."""
        worker = min(self._workers, key=lambda worker: worker.workload.outstanding_steps)
        with self._lock:
            return worker.admission.turn_away(
                self._clock(), "more requests come than this server can read; this one was not looked at"
            )

    def cancel(self, sequence_id: int) -> None:
        """Ends a sequence between two chunks, with Cancelled. Nothing happens if it has ended. Any thread."""
        self._workers[sequence_id % len(self._workers)].post(Cancel(sequence_id))

    def lanes(self) -> list[LaneFact]:
        """One fact per version, over all workers; a removed version is listed until its last sequence ends. Any thread."""
        with self._lock:
            known = {id(lane): lane for placement in self._placements.values() for lane in placement.lanes}
        known |= {id(lane): lane for worker in self._workers for lane in worker.busy_lanes}
        totals: dict[VersionKey, LaneFact] = {}
        for lane in known.values():
            fact = lane.fact()
            total = totals.get(fact.version)
            totals[fact.version] = fact if total is None else _sum(total, fact)
        return list(totals.values())

    def drain(self, timeout_seconds: float) -> bool:
        """Takes no new work from now on and waits until what is live has ended; False if the time ran out first."""
        with self._lock:
            self._draining = True
        end = time.monotonic() + timeout_seconds
        events = [Event() for _ in self._workers]
        posted = [worker.post(WhenIdle(event)) for worker, event in zip(self._workers, events)]
        idle = all(event.wait(max(0.0, end - time.monotonic())) for event, alive in zip(events, posted) if alive)
        return idle and self._healthy

    def stop(self) -> None:
        """Ends what is still live with Draining, and the threads. May be called twice."""
        with self._lock:
            self._draining = True
        for worker in self._workers:
            worker.stop()

    def _check_running(self) -> None:
        if not self._healthy:
            raise InternalFailure("the server's engine has failed and takes no more work")
        if self._draining:
            raise Draining("the server is stopping and takes no new work; send it to another one")

    def _known(self, key: VersionKey) -> Placement:
        placement = self._placements.get(key)
        if placement is None:
            raise UnknownVersion(f"{key} is not loaded")
        return placement

    def _admit(self, work: Work, asker: Asker, now_seconds: float, idle: Rows[bool], more: bool) -> tuple[Worker, Lane, Sequence]:
        """idle: which workers had nothing to do when the request came. more: it is not the first row of its request."""
        placement = self._known(work.version)
        index, implementation = placement.place(work)
        lane, worker = placement.lanes[index], self._workers[index]
        passes = lane.passes(work)
        steps = sum(passes) if passes else work.steps
        if work.steps == 0:
            raise InvalidInput("a sequence needs at least one time step", field="inputs")
        if 0 in passes:
            raise InvalidInput(f"a sequence of {work.steps} time steps is too short for this model's windows", field="inputs")
        deadline = work.deadline_seconds
        if deadline is not None:
            check_deadline(deadline, now_seconds, lane.least_seconds(implementation, steps, now_seconds))
        estimate = worker.admission.admit(
            steps,
            deadline,
            asker,
            now_seconds,
            lane.backlog(implementation),
            (backlog for busy in worker.busy_lanes for backlog in busy.backlogs.values()),
            unasked=idle[index] or (more and deadline is None),
        )
        identity = self._submitted * len(self._workers) + index  # so that an id names its worker
        self._submitted += 1
        self._count(lane, worker, steps, 1)
        return worker, lane, Sequence(identity, work, implementation, now_seconds, passes, estimate)

    def _withdraw(self, worker: Worker, lane: Lane, sequence: Sequence) -> None:
        self._count(lane, worker, sequence.total, -1)
        worker.admission.withdraw(sequence.total, sequence.estimate, lane.backlog(sequence.implementation))

    def _count(self, lane: Lane, worker: Worker, steps: int, sequences: int) -> None:
        for workload in (lane.workload, worker.workload):
            workload.submitted_steps += sequences * steps
            workload.submitted_sequences += sequences

    def _worker_died(self, cause: BaseException) -> None:
        self._healthy = False
        self._on_death(cause)


def _sum(one: LaneFact, other: LaneFact) -> LaneFact:
    return LaneFact(
        one.version,
        one.waiting_timesteps + other.waiting_timesteps,
        one.active_sequences + other.active_sequences,
        one.rows_free + other.rows_free,
        one.rows_used + other.rows_used,
        one.weights_bytes,
        one.states_bytes + other.states_bytes,
    )
