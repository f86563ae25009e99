"""One thread and its loop: obey what was asked, drop what has expired, advance one batch, deliver what ended; again.

Idle, it blocks on the command queue; busy, it takes turns over the lanes that hold live sequences, or an iteration that a device
was given and that is not collected yet. It never sleeps, polls or
waits for a lock that a submitter holds. If anything outside a batch raises, `deliver` included, the loop is dead: every
sequence it had is delivered as failed and `on_death` is called, so that nobody waits for ever. Knows no door and no registry.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Lock, Thread, current_thread

from cellserve.models.devices import Device
from cellserve.service.engine.admission.admission import Admission
from cellserve.service.engine.admission.appointments import Appointments
from cellserve.service.engine.admission.workload import Workload
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.commands import Cancel, Command, Stop, Submit, WhenIdle
from cellserve.service.engine.facts import Observer
from cellserve.service.engine.lane import Lane, LaneHost
from cellserve.service.engine.running.transfers import Transfers
from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget
from cellserve.service.engine.scheduling.overload_budget import OverloadBudget
from cellserve.service.engine.settings import EngineSettings
from cellserve.service.errors import Draining, InternalFailure

log = logging.getLogger(__name__)


class Worker:
    """`deliver` is called on this worker's thread, at most once per iteration, with everything that ended in it.

    core: that the thread is bound to (Linux only).
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[Delivery]], None],
        observer: Observer,
        settings: EngineSettings,
        on_death: Callable[[BaseException], None],
        clock: Callable[[], float],
        processor_clock: Callable[[], float],
        transfers_of: Callable[[Device], Transfers],
        appointments: Appointments,
        core: int | None = None,
    ) -> None:
        self.workload = Workload()
        self.admission = Admission(settings.max_waiting_seconds, settings.max_waiting_timesteps, appointments)
        self._core = core
        self._budget = ChunkBudget(settings.join_latency_seconds, settings.max_chunk_seconds)
        budget = OverloadBudget(self._budget, lambda: self.admission.refused_seconds)
        self._outbox: list[Delivery] = []
        self.host = LaneHost(
            settings, budget, self.workload, self.admission, observer, self._ended, clock, processor_clock, transfers_of
        )
        self._deliver = deliver
        self._on_death = on_death
        self._clock = clock
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._gate = Lock()  # between posting and closing: nothing enters a queue that nobody will read
        self._closed = False
        self._stopped = False
        self._busy: tuple[Lane, ...] = ()
        self._turn = 0
        self._awaiting_idle: list[Event] = []
        self._thread = Thread(target=self._run, name=name, daemon=True)

    @property
    def busy_lanes(self) -> tuple[Lane, ...]:
        """Lanes with live sequences, or an iteration under way. Any thread."""
        return self._busy

    def start(self) -> None:
        self._thread.start()

    def post(self, command: Command) -> bool:
        """Any thread; never waits for the loop. False if the loop has ended, or is about to, and will not obey."""
        with self._gate:
            if not self._closed:
                self._commands.put(command)
            return not self._closed

    def stop(self) -> None:
        """Ends what is live as drained and waits for the thread. Without a thread of its own, it happens in the caller's."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._commands.put(Stop())
        if not self._thread.ident:
            self.obey_commands(wait=False)
        elif self._thread is not current_thread():
            self._thread.join()

    def obey_commands(self, wait: bool) -> None:
        """Obeys what was asked so far; with `wait`, blocks until there is something. The outbox is delivered."""
        for _ in range(max(self._commands.qsize(), int(wait))):
            self._obey(self._commands.get())
        self._flush()

    def iterate(self) -> None:
        """One turn: expires, advances one batch of the lane whose turn it is, delivers."""
        now = self._clock()
        for lane in self._busy:
            lane.expire(now)
        if self._busy:
            self._turn = (self._turn + 1) % len(self._busy)
            self._busy[self._turn].iterate()
        self._flush()

    def _run(self) -> None:
        try:
            if self._core is not None:
                os.sched_setaffinity(0, {self._core})  # of this thread
            while not self._stopped:
                self.obey_commands(wait=not self._busy)
                self.iterate()
        except BaseException as cause:
            self._die(cause)

    def _obey(self, command: Command) -> None:
        match command:
            case Submit(lane, sequence):
                self._budget.arrived(sequence.submitted_seconds)
                if lane not in self._busy:
                    self._busy += (lane,)
                lane.admit(sequence)
            case Cancel(sequence_id):
                for lane in self._busy:
                    lane.cancel(sequence_id)
            case WhenIdle(reached):
                self._awaiting_idle.append(reached)
            case Stop():
                for lane in self._busy:
                    lane.end_all("drained", Draining("the server stopped before this sequence was finished"))
                self._stopped = True

    def _ended(self, delivery: Delivery, stayed_seconds: float) -> None:
        if delivery.error is None:
            self._budget.ended(stayed_seconds)
        self._outbox.append(delivery)

    def _flush(self) -> None:
        if not all(lane.busy for lane in self._busy):
            self._busy = tuple(lane for lane in self._busy if lane.busy)
        if self._outbox:
            ended, self._outbox = self._outbox, []
            self._deliver(ended)
        if self._awaiting_idle and not self._busy:
            for reached in self._awaiting_idle:
                reached.set()
            self._awaiting_idle.clear()

    def _die(self, cause: BaseException) -> None:
        log.critical("the loop of %s died; every sequence it held fails", self._thread.name, exc_info=cause)
        with self._gate:
            self._closed = True
        try:
            self._fail_everybody(InternalFailure("the server's engine failed while this sequence was under way"))
        except Exception:
            log.exception("up to %d failed sequences could not be delivered", len(self._outbox))
        finally:
            for reached in self._awaiting_idle:
                reached.set()
            self._on_death(cause)

    def _fail_everybody(self, error: InternalFailure) -> None:
        """Those in the lanes, and those that had not got so far."""
        for lane in self._busy:
            lane.abandon(error)
        while not self._commands.empty():
            match self._commands.get():
                case Submit(lane, sequence):
                    lane.report(sequence, "failed", error)
                case WhenIdle(reached):
                    self._awaiting_idle.append(reached)
                case Cancel() | Stop():
                    continue
        if self._outbox:
            self._deliver(self._outbox)
